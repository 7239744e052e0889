"""`k1edge analyze FILE... | DIR`: songs to Genesis Maps.

Each file is analysed in a process of its own, so that no file, however broken, ends the others. A song whose map is there
already, made of the same audio, is skipped: an interrupted run is simply started again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from k1edge.config import ConfigError, Settings, load
from k1edge.genesis.codec import read_json
from k1edge.genesis.document import validate
from k1edge.genesis.faults import MapError
from k1edge.interpreter import PYTHON
from k1edge.library.admission import shown
from k1edge.library.errors import Code
from k1edge.library.files import file_sha256
from k1edge.library.worker import Failure, Limits, Worker
from k1edge.programs.options import EXIT_FAILED, EXIT_USAGE, fail, when_ended
from k1edge.programs.pictures import kind_fault, pillow_fault
from k1edge.programs.progress import Lines, ProgressBars
from k1edge.programs.songs import Song, clash, every_song, missing, text

POLL_S = 0.05
MEMORY_MB = 4_000
TIME_S = 3_600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge analyze night.flac                     writes night.flac.genesis.json beside it
  k1edge analyze ~/music -o maps --plot pictures

exit code: 0 all done, 1 some failed, 2 wrong usage, 78 the configuration has faults; ended early: 130 Ctrl-C, 143 terminated,
129 its terminal was closed"""
    parser.add_argument("songs", nargs="+", type=Path, metavar="FILE|DIR", help="sound files, or directories of them")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where the maps go (default: beside each song)")
    parser.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="songs at a time (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the song into this file, several into this directory")
    parser.add_argument("--again", action="store_true", help="also analyse songs that have a map already")
    parser.add_argument("--json", action="store_true", help="print one JSON object a song")
    parser.add_argument("--config", type=Path, metavar="TOML",
                        help="tempo range and the like from this configuration (default: none)")
    parser.add_argument("--job", type=Path, metavar="OUTPUT", help=argparse.SUPPRESS)


def main(args: argparse.Namespace) -> int:
    try:
        # There is no broker, and not everyone may read its password.
        settings = load(args.config, instead={"mqtt": {}}) if args.config else Settings()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    if args.job:
        from k1edge.programs.job import run

        return run(args.songs[0], args.job, settings)
    problem = next(filter(None, map(missing, args.songs)), "")
    if problem or args.jobs < 1:
        return fail("analyze", problem or f"--jobs {args.jobs} is less than 1", EXIT_USAGE)
    closed: list[OSError] = []
    songs = list(every_song(args.songs, args.output, closed.append))
    for fault in closed:
        print(f"k1edge analyze: {text(fault.filename)}: {fault.strerror}", file=sys.stderr)
    if not songs:
        return fail("analyze", "there is no sound file in there", EXIT_FAILED)
    if args.plot:
        _choose_pictures(songs, args.plot)
    if problem := (args.plot and _plot_fault(args.plot, len(songs) > 1)) or clash(songs):
        return fail("analyze", problem, EXIT_USAGE)
    show = ProgressBars(sys.stderr) if sys.stderr.isatty() and not args.json else Lines(sys.stderr)
    # Asked for between songs: an exception that comes anywhere is lost where Python can only ignore it.
    signals: list[int] = []
    when_ended(lambda number, _: signals.append(number))
    try:
        try:
            _work_off(songs, args, show, signals)
        finally:
            for song in songs:
                if song.worker:
                    song.worker.close()
            show.end(songs)
    except OSError as fault:
        return fail("analyze", f"{fault.filename}: {fault.strerror}", EXIT_FAILED)
    if signals:
        return 128 + signals[0]
    return EXIT_FAILED if closed or any(song.state == "failed" for song in songs) else 0


def _plot_fault(plot: Path, many: bool) -> str:
    """Why nothing could be drawn there, told before minutes are spent on it; '' when nothing is known against it."""
    if fault := pillow_fault():
        return fault
    if many:
        is_file = plot.exists() and not plot.is_dir()
        return f"--plot {plot}: is a file; pictures of several songs need a directory" if is_file else ""
    if plot.is_dir() or not (fault := kind_fault(plot)):
        return ""
    return f"--plot {fault}; a directory must be there already"


def _choose_pictures(songs: list[Song], plot: Path) -> None:
    """Of one song, or of each in a directory."""
    into = len(songs) > 1 or plot.is_dir()
    for song in songs:
        song.picture = plot / song.within / f"{song.path.name}.png" if into else plot


def _work_off(songs: list[Song], args: argparse.Namespace, show: ProgressBars | Lines, signals: list[int]) -> None:
    waiting, running = list(reversed(songs)), []
    while (waiting or running) and not signals:
        if waiting and len(running) < args.jobs:
            song = waiting.pop()
            if song.failure:
                _finish(song, "failed", args, show)
            elif not args.again and _is_done(song):
                _finish(song, "skipped", args, show)
            else:
                _start(song, args)
                running.append(song)
        else:
            time.sleep(POLL_S)
        for song in [song for song in running if song.worker.poll()]:
            running.remove(song)
            _end(song, args, show)
        show.update(songs)


def _is_done(song: Song) -> bool:
    """Whether a good map of this very audio is there."""
    try:
        found = validate(read_json(song.output.read_bytes()))
        same = found.metadata.hashes.audio_sha256 == file_sha256(song.path)
    except (OSError, MapError):
        return False
    song.map = found if same else None
    return same


def _start(song: Song, args: argparse.Namespace) -> None:
    config = ["--config", os.fspath(args.config)] if args.config else []
    command = [*PYTHON, "-m", "k1edge", "analyze", *config]
    song.output.parent.mkdir(parents=True, exist_ok=True)
    song.state, song.began_s = "processing", time.monotonic()
    song.worker = Worker(command, song.path.absolute(), song.output.absolute(), Limits(TIME_S, MEMORY_MB))


def _end(song: Song, args: argparse.Namespace, show: ProgressBars | Lines) -> None:
    song.took_s, song.failure = time.monotonic() - song.began_s, song.worker.failure
    song.worker.close()
    if not song.failure:
        try:
            song.map = validate(read_json(song.output.read_bytes()))
        except (OSError, MapError) as fault:
            song.failure = Failure(Code.ANALYSIS_FAILED, f"left no valid map: {fault}")
    _finish(song, "failed" if song.failure else "completed", args, show)


def _finish(song: Song, state: str, args: argparse.Namespace, show: ProgressBars | Lines) -> None:
    song.state, song.worker = state, None
    if song.picture and song.map:
        from k1edge.programs.plot import draw

        song.picture.parent.mkdir(parents=True, exist_ok=True)
        draw(song.map, song.path.stem).save(song.picture, optimize=True)
    if args.json:
        print(json.dumps(song.report(), ensure_ascii=False), flush=True)
    else:
        show.ended(shown(song.path), song)
