"""The command line. Every program is the module of its name in `programs/`, imported only when it is asked for."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import importlib
import io
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import TextIO

from k1edge import __version__

PROGRAMS = {
    "run": "drive the K1s from the line input and publish telemetry, until stopped",
    "demo": "see a virtual K1 move on the beat: nothing to configure, no hardware needed",
    "simulate": "be a virtual K1 on a broker, in this terminal or as a picture",
    "monitor": "watch an edge's telemetry live",
    "beats": "print the beats of a file as the live tracker announces them",
    "events": "print the sections, builds and drops of a file as the live engine decides them",
    "analyze": "turn songs into Genesis Maps, with the whole song in view",
    "map": "validate, show, convert and compare Genesis Maps",
    "replay": "run a saved flight recording through the engine again, and show it",
    "ask": "ask an edge for something: its tracks, its jobs, a scene, a correction",
    "check": "print the effective configuration, or every fault in it",
    "doctor": "examine the installation: configuration, sound, broker, K1s, machine; say what to do",
    "calibrate": "measure the latency of the input and of each K1",
    "config": "show, compare and restore the configurations that ran well",
    "devices": "list the sound cards, and how to name them in the configuration",
    "contract": "print the MQTT contract as JSON Schema or AsyncAPI",
}

EPILOG = ("To begin: k1edge demo. k1edge PROGRAM --help explains one program. Besides the exit codes given there, any may end "
          "with 74 (its output could not be written), 130 (Ctrl-C) or 143 (terminated).")
EXIT_USAGE = 2
PLAIN = str.maketrans("●○█▉▊▋▌▍▎▏▁▂▃▄▅▆▇✓✗…°", "*o####|   ____###+x.d")
"""What is drawn where a terminal has nothing but ASCII."""
STDOUT, STDERR = 1, 2


class UnwrittenError(Exception):
    """Standard output cannot be written. No OSError, which a program takes for a fault of one of its files."""


class _Output(io.FileIO):
    """Where standard output goes; its faults are told from all others."""

    def write(self, piece, /) -> int | None:
        try:
            return super().write(piece)
        except OSError as fault:
            raise UnwrittenError(fault.strerror) from fault


def main(argv: list[str] | None = None) -> int:
    """Runs one program; returns its exit code (0 done, 1 failed, 2 wrong usage, 74 what it printed is lost, 78 configuration
    fault). Without `argv` the process is the program's, which must end although the sound library may be stuck."""
    code = _printed(argv)
    if argv is None:
        _module("ending").end_if_stuck(code)
    return code


def _printed(argv: list[str] | None) -> int:
    """The exit code of a program whose output is written, or told to be lost."""
    if sys.stderr is None:
        sys.stderr = _nowhere(STDERR)
    out, code = _output(), 0
    try:
        with contextlib.redirect_stdout(out):
            try:
                code = _run(argv)
            except SystemExit as ended:
                code = ended.code
            out.flush()  # the last of it, too, while there is somebody who can say that it is lost
            return code
    except UnwrittenError as fault:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # it is flushed once more when it is closed
        if isinstance(fault.__cause__, BrokenPipeError):
            return code  # the reader (head, less) has left
        print(f"k1edge: standard output: {fault}", file=sys.stderr)
        return os.EX_IOERR


def _output() -> TextIO:
    """Standard output that tells its own faults, and replaces what a terminal lacks: a bar, a file name that is no text."""
    given = sys.stdout
    if given is None:
        return _nowhere(STDOUT)
    try:
        file = _Output(given.fileno(), "w", closefd=False)
    except (AttributeError, io.UnsupportedOperation):
        return given  # a caller's own
    buffer = file if given.write_through else io.BufferedWriter(file)
    codecs.register_error("k1edge.plain", _plain)
    return io.TextIOWrapper(buffer, given.encoding, "k1edge.plain", line_buffering=given.line_buffering,
                            write_through=given.write_through)


def _plain(fault: UnicodeEncodeError) -> tuple[str, int]:
    """What stands for signs that an encoding has not, and where it goes on."""
    return fault.object[fault.start : fault.end].translate(PLAIN).encode("ascii", "replace").decode(), fault.end


def _nowhere(number: int) -> TextIO:
    """Stands in for a closed standard output or error, here and in children: the next file to be opened would get its number,
    and libraries would write their complaints into it."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:  # a lower one is closed, too
        os.dup2(null, number)
    os.set_inheritable(number, True)
    return os.fdopen(number, "w", errors="replace")


def _module(program: str) -> ModuleType:
    return importlib.import_module(f"k1edge.programs.{program}")


def _run(argv: list[str] | None) -> int:
    # One stream on one core: more threads in the linear algebra would only spin. Before NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # While modules are loaded there is nothing to tidy up, and an exception in there would be a traceback, or lost.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    args = sys.argv[1:] if argv is None else argv
    name = next((a for a in args if not a.startswith("-")), None)
    layout = _module("layout").Layout
    _module("ending")  # now: another version may be in this one's place when it is needed
    parser = argparse.ArgumentParser("k1edge", description="Line-in audio to light on a K1, over MQTT.", epilog=EPILOG,
                                     formatter_class=layout)
    parser.add_argument("--version", action="version", version=f"k1edge {__version__}")
    try:
        Path.cwd()
    except FileNotFoundError:  # a shell stays where a clone was before it was made anew, and file names lead nowhere there
        parser.exit(EXIT_USAGE, "k1edge: the folder that you are in is gone; cd to one that is there\n")
    programs = parser.add_subparsers(title="programs", dest="program", metavar="PROGRAM", required=True)
    for program, purpose in PROGRAMS.items():
        about = purpose[0].upper() + purpose[1:] + "."
        sub = programs.add_parser(program, help=purpose, description=about, formatter_class=layout)
        if program == name:
            _module(program).add_arguments(sub)
    if not args:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    options, unknown = parser.parse_known_args(args)
    if unknown:
        programs.choices[options.program].error(f"unrecognized arguments: {' '.join(unknown)}")
    # Until a program has handlers of its own. Only the daemon is done when it is stopped: half a table is not all of it.
    stopped = 0 if options.program == "run" else 128 + signal.SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(stopped))
    program = _module(options.program)
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return program.main(options) or 0
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # a second one ends it at once, without a traceback
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
