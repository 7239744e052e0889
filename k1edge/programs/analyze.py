"""`k1edge analyze FILE... | DIR`: songs to Genesis Maps.

Each file is analysed in a process of its own, so that no file, however broken, ends the others. A song whose map is there
already, made of the same audio, is skipped: an interrupted run is simply started again.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k1edge.config import ConfigError, Settings, load
from k1edge.genesis.codec import read_json
from k1edge.genesis.document import GenesisMap, validate
from k1edge.genesis.faults import MapError
from k1edge.library.admission import shown
from k1edge.library.errors import Code
from k1edge.library.files import file_sha256
from k1edge.library.worker import Failure, Limits, Worker
from k1edge.programs.options import EXIT_FAILED, EXIT_USAGE, when_ended
from k1edge.programs.pictures import kind_fault, pillow_fault
from k1edge.programs.progress import Lines, ProgressBars

EXTENSIONS = {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac"}
"""What is taken for a song in a directory; what it is, its content decides."""
SUFFIX = ".genesis.json"
NAME_BYTES = 255
"""Of a file's name, at most, on Linux."""
POLL_S = 0.05
MEMORY_MB = 4_000
TIME_S = 3_600.0


@dataclass(slots=True)
class Song:
    """One file on its way to a map."""

    path: Path
    output: Path
    picture: Path
    """Its name among those of several songs."""
    state: str = "queued"
    """queued, processing, completed, skipped or failed."""
    failure: Failure | None = None
    map: GenesisMap | None = None
    worker: Worker | None = None
    began_s: float = 0.0
    took_s: float = 0.0

    def report(self) -> dict[str, Any]:
        """As `--json` prints it."""
        common = {"file": _text(self.path), "state": self.state}
        if self.failure:
            return common | {"code": self.failure.code, "reason": self.failure.reason}
        if not self.map:
            return common
        metrics, notes = self.map.global_metrics, self.map.notes
        return common | {
            "map": _text(self.output),
            "duration_ms": metrics.duration_ms,
            "bpm": metrics.bpm,
            "beats": len(self.map.layers.rhythm.beat_grid_ms),
            "downbeats": len(self.map.layers.rhythm.downbeat_ms),
            "key": str(notes.key) if notes.key else None,
            "sections": [section.label for section in notes.sections or []],
            "drops_ms": [drop.at_ms for drop in notes.drops or []],
            "took_s": round(self.took_s, 2),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares this program's arguments."""
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
    """0 all done; 1 some failed; 2 wrong usage; 78 faulty configuration; 128 and the number of the signal that ended it."""
    try:
        # There is no broker, and not everyone may read its password.
        settings = load(args.config, instead={"mqtt": {}}) if args.config else Settings()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    if args.job:
        from k1edge.programs.job import run

        return run(args.songs[0], args.job, settings)
    problem = next(filter(None, map(_missing, args.songs)), "")
    if problem or args.jobs < 1:
        print(f"k1edge analyze: {problem or f'--jobs {args.jobs} is less than 1'}", file=sys.stderr)
        return EXIT_USAGE
    closed: list[OSError] = []
    songs = list(_songs(args.songs, args.output, closed.append))
    for fault in closed:
        print(f"k1edge analyze: {_text(fault.filename)}: {fault.strerror}", file=sys.stderr)
    if not songs:
        print("k1edge analyze: there is no sound file in there", file=sys.stderr)
        return EXIT_FAILED
    args.many = len(songs) > 1
    if problem := _plot_fault(args) or _clash(songs, args):
        print(f"k1edge analyze: {problem}", file=sys.stderr)
        return EXIT_USAGE
    show = ProgressBars(sys.stderr) if sys.stderr.isatty() and not args.json else Lines(sys.stderr)
    # Asked for between songs: an exception that comes anywhere is lost where Python can only ignore it.
    signals: list[int] = []
    when_ended(lambda number, _: signals.append(number))
    fault = None
    try:
        _work_off(songs, args, show, signals)
    except OSError as unwritten:
        fault = unwritten
    finally:
        for song in songs:
            if song.worker:
                song.worker.close()
        show.end(songs)
    if fault:
        print(f"k1edge analyze: {fault.filename}: {fault.strerror}", file=sys.stderr)
        return EXIT_FAILED
    if signals:
        return 128 + signals[0]
    return EXIT_FAILED if closed or any(song.state == "failed" for song in songs) else 0


def _missing(path: Path) -> str:
    """Why there is nothing to be found under this name; '' when there is."""
    try:
        path.stat()
    except OSError as fault:
        return f"{_text(path)}: {fault.strerror}"
    return ""


def _songs(given: list[Path], output: Path | None, closed: Callable[[OSError], object]) -> Iterator[Song]:
    """Every song once, in order; a directory is searched through, and `closed` gets the fault of one that cannot be."""
    seen: set[Path] = set()
    for path in given:
        for file in _files(path, closed) if path.is_dir() else [path]:
            if file in seen:
                continue
            seen.add(file)
            within = file.relative_to(path).parent if path.is_dir() else Path()
            target = (output / within if output else file.parent) / f"{file.name}{SUFFIX}"
            yield Song(file, target, within / f"{file.name}.png", failure=_fault(file, target))


def _files(folder: Path, closed: Callable[[OSError], object]) -> list[Path]:
    """What is named like a song in it and in the directories within, linked ones too, each once; nothing hidden."""
    seen: set[str] = set()
    found: list[Path] = []
    waiting = [folder]
    for root in waiting:  # links after all else: what is here by itself keeps its name
        for place, folders, names in os.walk(root, onerror=closed):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(filter(_is_visible, folders))
            # Of what may be listed and not looked at a Path would raise.
            waiting += [Path(place, name) for name in folders if os.path.islink(f"{place}/{name}")]  # noqa: PTH114
            found += [Path(place, name) for name in filter(_is_visible, names) if Path(name).suffix.lower() in EXTENSIONS]
    return sorted(found)


def _is_visible(name: str) -> bool:
    return not name.startswith(".")


def _fault(song: Path, target: Path) -> Failure | None:
    """Why there can be no map of it, where that is known before it is opened: one waits for the writer of a pipe."""
    try:
        ordinary = stat.S_ISREG(song.stat().st_mode)
    except OSError as fault:
        return Failure(Code.FILE_NOT_FOUND, f"cannot be read: {fault.strerror}")
    if not ordinary:
        return Failure(Code.INVALID_FILE_FORMAT, "is not an ordinary file")
    if len(os.fsencode(target.name)) > NAME_BYTES:
        return Failure(Code.FILE_NOT_ALLOWED, f"has so long a name that there is no room for {SUFFIX} behind it")
    return None


def _plot_fault(args: argparse.Namespace) -> str:
    """Why nothing could be drawn, told before minutes are spent on it; '' when nothing is known against it."""
    if not args.plot:
        return ""
    if fault := pillow_fault():
        return fault
    if args.many:
        is_file = args.plot.exists() and not args.plot.is_dir()
        return f"--plot {args.plot}: is a file; pictures of several songs need a directory" if is_file else ""
    if args.plot.is_dir() or not (fault := kind_fault(args.plot)):
        return ""
    return f"--plot {fault}; a directory must be there already"


def _clash(songs: list[Song], args: argparse.Namespace) -> str:
    """Which songs would be written to one file; '' when each has its own."""
    first: dict[Path, Song] = {}
    for song in songs:
        for place in (song.output, *([args.plot / song.picture] if args.plot and args.many else [])):
            other = first.setdefault(place, song)
            if other is not song:
                return f"{other.path} and {song.path} would both become {place}: analyse them into different directories"
    return ""


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


def _text(path: Path) -> str:
    """For every reader, even where the name is not valid UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


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
    command = [sys.executable, "-m", "k1edge", "analyze", *config]
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
    if args.plot and song.map:
        from k1edge.programs.plot import draw

        target = args.plot / song.picture if args.many or args.plot.is_dir() else args.plot
        target.parent.mkdir(parents=True, exist_ok=True)
        draw(song.map, song.path.stem).save(target, optimize=True)
    if args.json:
        print(json.dumps(song.report(), ensure_ascii=False), flush=True)
    else:
        show.ended(shown(song.path), song)
