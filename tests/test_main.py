"""The door: `k1edge` teaches, and each program is found, explained and refused in the same way."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from k1edge.__main__ import PROGRAMS
from tests.brokers import PATIENCE_S
from tests.in_terminal import InTerminal, told

NOWHERE = "mqtt://127.0.0.1:1"
"""Where no broker is, whatever else runs on this machine."""


def test_without_a_program_all_are_shown_and_where_to_begin(capsys):
    code, _, err = told(capsys)
    assert code == 2
    assert all(name in err for name in PROGRAMS)
    assert "To begin: k1edge demo" in err


def test_every_module_that_is_a_program_is_one_to_the_door():
    folder = Path(__file__).parents[1] / "k1edge/programs"
    assert {path.stem for path in folder.glob("*.py") if "\ndef add_arguments(" in path.read_text()} == set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_explains_itself_in_a_terminal_of_any_width(capsys, monkeypatch, program):
    for columns in ("20", "80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        code, out, _ = told(capsys, program, "--help")
        assert code == 0
        assert out.startswith(f"usage: k1edge {program}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_shows_examples_that_it_takes_and_says_what_its_exit_code_means(program):
    parser = argparse.ArgumentParser(f"k1edge {program}")
    importlib.import_module(f"k1edge.programs.{program}").add_arguments(parser)
    assert re.search(r"^exit code: 0 ", parser.epilog or "", re.MULTILINE), "add_arguments gives an epilog, as the others do"
    examples = re.findall(rf"^  k1edge {program}(?: ([^ |>&].*?)|)(?:  +.*| [|>&].*)?$", parser.epilog, re.MULTILINE)
    assert examples
    for words in examples:
        parser.parse_args(shlex.split(words))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_explains_every_exit_code_that_it_names(program):
    module = importlib.import_module(f"k1edge.programs.{program}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    codes = {getattr(os, name) for name in re.findall(r"\bos\.(EX_\w+)", inspect.getsource(module))}
    assert codes <= set(map(int, re.findall(r"\b\d+\b", parser.epilog.partition("exit code")[2])))


@pytest.mark.parametrize("program", ["ask", "monitor", "simulate"])
def test_an_example_logs_in_as_a_user_that_broker_setup_makes(program):
    parser = argparse.ArgumentParser(f"k1edge {program}")
    importlib.import_module(f"k1edge.programs.{program}").add_arguments(parser)
    roles = {path.name for path in (Path(__file__).parents[1] / "config/mosquitto/roles").iterdir()}
    users = re.findall(r"--username (\S+)", parser.epilog)
    assert users
    assert all(user.partition("/")[0] in roles for user in users)


@pytest.mark.parametrize("program", ["beats", "check", "devices", "run"])
def test_an_unknown_option_is_refused_with_the_usage_of_its_program(capsys, program):
    code, _, err = told(capsys, program, "--nope", *(["x"] * (program == "beats")))
    assert code == 2
    assert err.startswith(f"usage: k1edge {program}")
    assert err.endswith("unrecognized arguments: --nope\n")


def test_an_unknown_program_is_refused_with_those_there_are(capsys):
    code, _, err = told(capsys, "dmeo")
    assert code == 2
    assert "demo" in err


@pytest.mark.parametrize("words", ["run --source demo", "monitor --help", "analyze .", "doctor", "contract"])
def test_who_is_in_a_folder_that_is_gone_is_told_so(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert told(capsys, *words.split()) == (2, "", "k1edge: the folder that you are in is gone; cd to one that is there\n")


@pytest.mark.parametrize("words", ["ask track.list --wait", "doctor --seconds", "monitor --seconds", "simulate --seconds"])
@pytest.mark.parametrize("length", ["nan", "inf", "0", "soon"])
def test_a_length_of_time_that_is_none_is_refused(capsys, words, length):
    code, _, said = told(capsys, *words.split(), length)
    assert code == 2
    assert f"{length!r} is not a number of seconds above 0" in said


@pytest.mark.parametrize("program", ["beats", "events"])
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text"])
def test_a_file_that_is_no_sound_is_named_and_nothing_is_printed(capsys, tmp_path, program, kind):
    path = tmp_path / "Größe ♫.wav"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("hello\n" * (kind == "text"))
    code, out, err = told(capsys, program, str(path))
    assert (code, out) == (1, "")
    assert err.startswith(f"k1edge {program}: {path}: ")
    assert "; " in err, "what to do"


def test_a_reader_that_leaves_early_is_no_fault():
    command = f"{sys.executable} -m k1edge contract | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


LOST = "k1edge: standard output: No space left on device\n"


def to(target: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A program whose standard output goes there."""
    command = f"{shlex.join([sys.executable, '-m', 'k1edge', *words])} {target}"
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, timeout=60,
                          env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | environ)


@pytest.mark.parametrize("words", ["check", "contract", "map schema", "check --help"])
def test_what_cannot_be_printed_is_said_and_nothing_else_is_blamed(words):
    done = to("> /dev/full", *words.split())
    assert (done.returncode, done.stderr) == (74, LOST)


def test_a_program_does_not_take_output_that_is_lost_for_a_file_of_its_own(tmp_path):
    done = to("> /dev/full", "config", "history", "--config", str(tmp_path / "absent.toml"))
    assert done.returncode == 74 and done.stderr.endswith(LOST)
    assert "k1edge config:" not in done.stderr


@pytest.mark.parametrize("words", ["check", "contract", "map schema", "check --help"])
def test_a_reader_that_has_left_is_no_fault_of_any_program(words):
    done = to_nobody("-m", "k1edge", *words.split())
    assert (done.returncode, done.stderr) == (0, "")


def to_nobody(*words: str) -> subprocess.CompletedProcess[str]:
    """Python whose reader has left before it began."""
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        return subprocess.run([sys.executable, *words], stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=60, env=buffered)
    finally:
        os.close(writing)


def ending(main: str) -> str:
    """Python in which `ends` is a program of k1edge, with this as its main."""
    return f"""
import logging, os, signal, sys
from types import SimpleNamespace
from k1edge import __main__ as door
from k1edge.system.systemd import start_logging
sys.modules["k1edge.programs.ends"] = SimpleNamespace(add_arguments=lambda _: None, main={main})
door.PROGRAMS["ends"] = "ends"
"""


@pytest.mark.parametrize(("ends", "code", "says"), [("1 / 0", 1, "ZeroDivisionError"), ("3", 3, ""), ("sys.exit(4)", 4, "")])
def test_that_nobody_reads_does_not_hide_how_a_program_ended(ends, code, says):
    done = to_nobody("-c", ending(f"lambda _: print('half a table') or {ends}") + "sys.exit(door.main(['ends']))")
    assert done.returncode == code
    assert says in done.stderr and bool(done.stderr) == bool(says)


@pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_an_end_that_was_begun_by_ctrl_c_sees_no_traceback(again):
    program = ending("lambda _: os.kill(os.getpid(), signal.SIGINT)") + f"""
assert door.main(["ends"]) == 130
os.kill(os.getpid(), {int(again)})"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-again, "")


def test_what_is_printed_without_a_buffer_is_told_to_be_lost_too():
    done = to("> /dev/full", "contract", PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr) == (74, LOST)


def test_a_program_that_is_ended_half_way_does_not_end_as_if_it_had_told_all(tmp_path):
    command = [sys.executable, "-u", "-m", "k1edge", "beats", str(tmp_path / "long.wav")]
    soundfile.write(tmp_path / "long.wav", np.zeros(44_100 * 600), 44_100)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("announced_s")
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert process.returncode == 143


def test_a_program_ends_although_its_terminal_has_been_stopped():
    terminal, given = pty.openpty()
    os.write(terminal, b"\x13")  # Ctrl-S
    logs = """lambda _: (
        start_logging("info", {}), logging.info("the end is near"), logging.getLogger().handlers[0].flush()) and 0"""
    ends = ending(logs) + "sys.exit(door.main(['ends']))"
    with subprocess.Popen([sys.executable, "-u", "-c", ends], stdin=given, stdout=given, stderr=given) as process:
        try:
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            os.close(terminal)
            os.close(given)


@pytest.mark.parametrize(("words", "code"), [("devices", 69), ("doctor", 1), ("calibrate --only line", 66),
                                             ("run", 75), ("demo --seconds 0.2", 0)])  # fmt: skip
def test_a_program_ends_although_the_sound_library_never_does(tmp_path, words, code):
    stuck = f"""if True:
        import atexit, sys, threading
        from k1edge import __main__
        from k1edge.audio import linein
        linein.CLOSE_LIMIT_S = 0.01
        linein.sound_library = threading.Event().wait
        atexit.register(threading.Event().wait)
        sys.argv[1:] = {words.split()}
        sys.exit(__main__.main())"""
    done = subprocess.run([sys.executable, "-c", stuck], capture_output=True, text=True, check=False, timeout=PATIENCE_S,
                          env=os.environ | {"HOME": str(tmp_path)})
    assert done.returncode == code
    assert "PortAudio" in done.stdout + done.stderr and "does not respond" in done.stdout + done.stderr


def test_a_program_ends_although_another_version_has_been_put_in_its_place():
    program = """if True:
        import sys
        from types import SimpleNamespace
        from k1edge import __main__, programs
        def main(_):
            programs.__path__ = []
            return 3
        sys.modules["k1edge.programs.ends"] = SimpleNamespace(add_arguments=lambda _: None, main=main)
        __main__.PROGRAMS["ends"] = "ends"
        sys.argv[1:] = ["ends"]
        sys.exit(__main__.main())"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize(("words", "code"), [
    ("check", 0), ("demo --song --seconds 0.2", 0), (f"simulate --seconds 0.2 --url {NOWHERE}", 1),
    (f"monitor --seconds 0.2 --url {NOWHERE}", 1),
])  # fmt: skip
def test_a_program_works_without_standard_output(words, code):
    without = to(">&-", *words.split())
    assert without.returncode == code
    assert "Traceback" not in without.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_name_that_is_no_text_ends_no_program_whose_output_is_closed(tmp_path, closed):
    (song := tmp_path / "\udcff.json").write_bytes(Path("tests/library/analyst.genesis.json").read_bytes())
    assert to(closed, "map", "validate", str(song)).returncode == 0
    assert to(closed, "replay", str(song.with_suffix(".k1rec"))).returncode == 66


def test_a_program_finds_sound_cards_or_none_whatever_is_closed():
    found = to("", "devices").returncode
    assert [to(closed, "devices").returncode for closed in ("2>&-", "<&- 2>&-", "<&- >&- 2>&-")] == [found] * 3


def test_the_daemon_runs_where_standard_error_is_closed(tmp_path):
    done = to("2>&-", "run", "--source", str(tmp_path / "absent.wav"), STATE_DIRECTORY=str(tmp_path))
    assert (done.returncode, done.stdout) == (66, "")


def test_a_terminal_without_bars_and_dots_gets_what_stands_for_them():
    signs = ascii("● ○ ██▍ ▂█ 51 °C café 曲 \udcff")
    program = f"from k1edge.__main__ import _output; out = _output(); out.write({signs}); out.flush()"
    for encoding, shown in (("ascii", b"* o ##  _# 51 dC caf? ? ?"), ("utf-8", "● ○ ██▍ ▂█ 51 °C café 曲 ?".encode())):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60,
                              env=os.environ | {"PYTHONIOENCODING": encoding})
        assert done.stdout == shown


@pytest.mark.parametrize("size", [(1, 1), (0, 0), (400, 100)])
def test_a_terminal_of_any_size_and_alphabet_is_drawn_on(size):
    options = ("--url", NOWHERE, "--seconds", "0.5")
    with InTerminal(*size, "simulate", *options, PYTHONIOENCODING="ascii") as program:
        program.process.wait(PATIENCE_S)
    assert program.process.returncode == 1
    assert "Traceback" not in program.complaints
    assert program.screen.endswith(b"\x1b[?25h\x1b[?1049l")
