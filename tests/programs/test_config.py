"""`k1edge config`: what did well can be seen, compared and gone back to."""

import errno

import pytest

from k1edge.__main__ import main
from k1edge.daemon.startup import begin
from k1edge.programs.config import Archive
from k1edge.system import generations
from k1edge.system.generations import Generations, Refusal, digest
from k1edge.system.state import INSTALLED
from tests.failing import raising

TEXTS = [f'site = "hall"\n[beat]\nlead_ms = {lead_ms}\n' for lead_ms in (100, 200, 300)]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A machine where three configurations did well, one after the other."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("K1EDGE_CONFIG", str(tmp_path / "k1edge.toml"))
    file = tmp_path / "k1edge.toml"
    store = Generations(tmp_path / "state", file)
    for text in TEXTS:
        file.write_text(text)
        store.promote(begin(file, {}).running, "2026-11-22T12:00:00Z", reached=False)
    store.file = file
    return store


def test_show_prints_what_did_well_last_or_any_other(site, capsys):
    assert main(["config", "show"]) == 0
    assert capsys.readouterr().out == TEXTS[2]
    assert main(["config", "show", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == TEXTS[0]
    assert "generation 1" in err


def test_diff_tells_what_an_edit_has_changed(site, capsys):
    assert main(["config", "diff"]) == 0
    site.file.write_text(TEXTS[2] + "tempo_min_bpm = 60.0\n")
    assert main(["config", "diff"]) == 1
    assert "+tempo_min_bpm = 60.0" in capsys.readouterr().out
    assert main(["config", "diff", "1", "2"]) == 1
    assert "-lead_ms = 100\n+lead_ms = 200" in capsys.readouterr().out


def test_history_marks_what_the_next_start_will_run(site, capsys):
    main(["config", "history"])
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines] == list("*   ")
    assert "3  2026-11-22T12:00:00Z  file" in lines[0]
    site.file.write_text("beat = 3")
    site.refuse(Refusal("abc", "CONFIG_ROLLED_BACK", "no sound came"))
    main(["config", "history"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("* file")
    assert "no sound came" in lines[4]


@pytest.mark.parametrize(("options", "lead_ms"), [([], 200), (["--to", "1"], 100)])
def test_rollback_stages_an_older_generation_that_then_goes_before_the_file(site, capsys, options, lead_ms):
    assert main(["config", "rollback", *options]) == 0
    assert "restart" in capsys.readouterr().out
    start = begin(site.file, {})
    assert (start.settings.beat.lead_ms, start.origin, start.on_trial) == (lead_ms, "last-known-good", True)
    site.promote(start.running, "", reached=False)
    assert begin(site.file, {}).settings.beat.lead_ms == lead_ms
    site.file.write_text(TEXTS[2] + "\n")
    assert begin(site.file, {}).settings.beat.lead_ms == 300


def test_a_rollback_is_seen_before_it_is_tried(site, capsys):
    main(["config", "rollback"])
    capsys.readouterr()
    main(["config", "history"])
    assert any(line.startswith("* staged  rollback") for line in capsys.readouterr().out.splitlines())
    assert main(["config", "diff", "2", "staged"]) == 0


def test_rollback_works_where_the_file_is_gone(site):
    site.file.unlink()
    assert main(["config", "rollback", "--to", "1"]) == 0
    assert begin(site.file, {}).settings.beat.lead_ms == 100


def test_retry_forgets_what_was_given_up(site, capsys):
    assert main(["config", "retry"]) == 0
    assert "nothing" in capsys.readouterr().out
    site.refuse(Refusal("abc", "CONFIG_ROLLED_BACK", "x"))
    assert main(["config", "retry"]) == 0
    assert site.record().refused == ()
    assert "ask for it again" in capsys.readouterr().out, "what came over MQTT is not kept"


def test_retry_says_to_restart_where_that_tries_the_file_again(site, capsys):
    site.refuse(Refusal(digest(site.file.read_bytes()), "CONFIG_ROLLED_BACK", "x"))
    assert main(["config", "retry"]) == 0
    assert "restart k1edge" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["show", "9"], ["rollback", "--to", "x"], ["diff", "staged"], ["show", "staged"]])
def test_what_is_not_there_is_said_with_what_is(site, capsys, command):
    assert main(["config", *command]) == 66
    assert "3, 2, 1" in capsys.readouterr().err


def test_with_nothing_kept_it_says_where_it_looked(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert main(["config", "rollback", "--config", str(tmp_path / "a.toml")]) == 66
    assert str(tmp_path) in capsys.readouterr().err
    assert main(["config", "show", "--config", str(tmp_path / "a.toml")]) == 66
    assert "nothing has proved itself yet" in capsys.readouterr().err
    assert main(["config", "diff", "file", "--config", str(tmp_path / "a.toml")]) == 66


def test_the_first_generation_has_none_before_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    file = tmp_path / "k1edge.toml"
    file.write_text("")
    Generations(tmp_path, file).promote(begin(file, {}).running, "", reached=False)
    assert main(["config", "rollback", "--config", str(file)]) == 66
    assert "no generation before the newest" in capsys.readouterr().err


def test_a_generation_that_no_longer_loads_is_not_staged(site, capsys, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    site.file.write_text(f'[mqtt]\nusername = "u"\npassword_file = "{secret}"\n')
    site.promote(begin(site.file, {}).running, "", reached=False)
    secret.unlink()
    assert main(["config", "rollback", "--to", "4"]) == 78
    assert "secret" in capsys.readouterr().err
    assert site.candidate() is None


def test_a_state_that_cannot_be_written_is_said(site, capsys, monkeypatch):
    monkeypatch.setattr(generations, "write_whole", raising(OSError(errno.EROFS, "Read-only file system")))
    assert main(["config", "rollback"]) == 73
    assert "Read-only file system" in capsys.readouterr().err


def test_the_system_s_file_belongs_to_the_service(monkeypatch, tmp_path):
    monkeypatch.setattr("k1edge.programs.config.SYSTEM_FILE", tmp_path / "k1edge.toml")
    assert Archive(tmp_path / "k1edge.toml", None).store.folder.is_relative_to(INSTALLED)
    assert not Archive(tmp_path / "other.toml", None).store.folder.is_relative_to(INSTALLED)


@pytest.mark.parametrize("verb", ["history", "show", "diff", "rollback", "retry"])
def test_generations_that_root_alone_may_read_are_not_said_to_be_none(public, request, capsys, verb):
    (public / "k1edge.toml").write_text("")
    (public / "state").mkdir(mode=0)
    request.getfixturevalue("unprivileged")
    assert main(["config", verb, "--config", str(public / "k1edge.toml"), "--state", str(public / "state")]) == 77
    said = capsys.readouterr()
    assert "sudo" in said.err
    assert not said.out
