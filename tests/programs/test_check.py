"""`k1edge check` prints what is in effect, so that it can be loaded again, or the faults."""

import argparse

import pytest

from k1edge.config import Settings, load
from k1edge.programs import check


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    return check.main(parser.parse_args(arguments))


RICH = """
site = "club"
[audio]
device = 'USB "x" \\ #ü'
channel = 2
[looks.drop]
palette = 3
parameters = { speed = 1, mirror_mode = 0 }
[looks.verse]
parameters = {}
[mqtt]
username = "\\u0001\\u007f"
[k1]
auto_latency_ms = { k1-bar = -3.5 }
[[k1.devices]]
id = "left"
latency_ms = -20
[[k1.devices]]
id = "right"
enabled = false
"""


@pytest.mark.parametrize("text", ["", RICH], ids=["defaults", "much changed"])
def test_what_is_printed_means_what_was_loaded(tmp_path, capsys, text):
    (tmp_path / "a.toml").write_text(text)
    assert run(str(tmp_path / "a.toml")) == 0
    (tmp_path / "b.toml").write_text(capsys.readouterr().out)
    assert load(tmp_path / "b.toml", {}) == load(tmp_path / "a.toml", {})


def test_secrets_are_masked(tmp_path, capsys):
    (tmp_path / "secret").write_text("geheim")
    (tmp_path / "a.toml").write_text("[mqtt]\nusername = 'u'\npassword_file = 'secret'")
    assert run("--config", str(tmp_path / "a.toml")) == 0
    printed = capsys.readouterr().out
    assert '# password = "**********"' in printed
    assert "geheim" not in printed


def test_it_says_which_file_it_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("k1edge.config.file.SYSTEM_FILE", tmp_path / "absent.toml")
    assert run() == 0
    assert capsys.readouterr().out.startswith("# built-in defaults: no fault.")
    (tmp_path / "a.toml").write_text("")
    monkeypatch.setenv("K1EDGE_CONFIG", str(tmp_path / "a.toml"))
    assert run() == 0
    assert capsys.readouterr().out.startswith(f"# {tmp_path / 'a.toml'}: no fault.")


@pytest.mark.parametrize("given", [[""], ["--config", ""]])
def test_a_name_that_is_empty_is_a_fault_and_not_the_defaults(capsys, given):
    assert run(*given) == 78
    assert capsys.readouterr().out == ""


def test_of_two_files_none_is_left_out_in_silence(tmp_path, capsys):
    (tmp_path / "good.toml").touch()
    with pytest.raises(SystemExit):
        run(str(tmp_path / "good.toml"), "--config", "bad.toml")
    assert "not allowed with" in capsys.readouterr().err


def test_faults_go_to_standard_error_with_78(tmp_path, capsys):
    (tmp_path / "a.toml").write_text("oops = 1\nsite = 3")
    assert run(str(tmp_path / "a.toml")) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"2 faults in {tmp_path / 'a.toml'}"


def test_the_defaults_are_printed_whole(capsys, monkeypatch, tmp_path):
    (tmp_path / "a.toml").write_text("")
    run(str(tmp_path / "a.toml"))
    printed = capsys.readouterr().out
    for table in Settings.model_fields:
        assert table in printed
