"""`k1edge map validate|show|convert|diff|schema`: Genesis Maps of every dialect, on the command line.

Consumes map files (`-` = standard input), prints or writes; a bad map is answered with every fault and its JSON path.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from k1edge.genesis.codec import read_json, write_json
from k1edge.genesis.dialects import Dialect, Reading, convert, losses, read
from k1edge.genesis.document import GenesisMap
from k1edge.genesis.faults import MapError, MapFault
from k1edge.genesis.revision import difference
from k1edge.programs.options import EXIT_FAILED, EXIT_USAGE, fail
from k1edge.programs.pictures import kind_fault, picture_fault
from k1edge.whole import write_asked_for

FAULTS_SHOWN = 50


class FileError(MapError):
    """A file that holds no valid map."""

    def __init__(self, name: str, error: MapError) -> None:
        super().__init__(error.faults)
        self.name = name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge map show song.wav.genesis.json --plot song.png
  k1edge map convert old.json -o new.json       from any dialect to the current one; --to names another
  k1edge map diff before.json after.json
k1edge map VERB --help explains one verb

exit code: 0 done, 1 a map is invalid or cannot be read, 2 wrong usage"""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = _verb(verbs, "validate", "say whether maps are valid, and every fault of those that are not")
    check.add_argument("maps", nargs="+", metavar="MAP")
    show = _verb(verbs, "show", "print what a map says")
    show.add_argument("map", metavar="MAP")
    show.add_argument("--plot", type=Path, metavar="PNG", help="draw it")
    change = _verb(verbs, "convert", "write a map in another dialect")
    change.add_argument("map", metavar="MAP")
    change.add_argument("--to", choices=[*map(str, Dialect)], default=str(Dialect.V4), metavar="DIALECT",
                        help=f"{', '.join(Dialect)} (default: %(default)s)")  # fmt: skip
    change.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    compare = _verb(verbs, "diff", "what changed between two maps, in numbers")
    compare.add_argument("old", metavar="OLD")
    compare.add_argument("new", metavar="NEW")
    _verb(verbs, "schema", "print the JSON Schema of v4.0.0")
    for verb in (check, show, compare):
        verb.add_argument("--json", action="store_true", help="print JSON")


def _verb(verbs: argparse._SubParsersAction, name: str, purpose: str) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")


def main(args: argparse.Namespace) -> int:
    verbs = {"validate": _validate, "show": _show, "convert": _convert, "diff": _diff, "schema": _schema}
    try:
        return verbs[args.verb](args)
    except FileError as error:
        _print_faults(error)
        return EXIT_FAILED
    except MapError as error:
        _print_faults(FileError("what came of it", error))
        return EXIT_FAILED
    except OSError as fault:
        return fail("map", f"{fault.filename}: {fault.strerror}", EXIT_FAILED)


def _read(name: str) -> Reading:
    text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        return read(read_json(text))
    except MapError as error:
        raise FileError(name, error) from None


def _print_faults(error: FileError) -> None:
    count = len(error.faults)
    print(f"{error.name}: invalid, {count} fault{'s' * (count > 1)}", file=sys.stderr)
    for fault in error.faults[:FAULTS_SHOWN]:
        print(f"  {fault}", file=sys.stderr)
    if len(error.faults) > FAULTS_SHOWN:
        print(f"  ... and {len(error.faults) - FAULTS_SHOWN} more", file=sys.stderr)


def _validate(args: argparse.Namespace) -> int:
    bad = 0
    for name in args.maps:
        reading, error = None, None
        try:
            reading = _read(name)
        except FileError as found:
            error = found
        except OSError as fault:
            error = FileError(name, MapError([MapFault("$", f"cannot be read: {fault.strerror}")]))
        faults = () if error is None else error.faults
        bad += bool(faults)
        if args.json:
            listed = [{"path": fault.path, "problem": fault.problem} for fault in faults]
            print(json.dumps({"map": name, "valid": not faults, "dialect": reading and reading.dialect, "faults": listed}))
        elif reading:
            print(f"{name}: valid {reading.dialect}", *reading.notes, sep="; ")
        else:
            _print_faults(error)
    return EXIT_FAILED if bad else 0


def _facts(song: GenesisMap) -> dict[str, Any]:
    metrics, rhythm, notes = song.global_metrics, song.layers.rhythm, song.notes
    spans = {name: getattr(notes, name) or [] for name in ("sections", "builds", "breakdowns", "drops")}
    return {
        "file": song.metadata.filename,
        "engine": song.metadata.analysis_engine,
        "made": song.metadata.timestamp_utc,
        "duration_s": round(metrics.duration_ms / 1000, 2),
        "bpm": metrics.bpm,
        "beats": len(rhythm.beat_grid_ms),
        "downbeats": len(rhythm.downbeat_ms),
        "f_measure": metrics.f_measure if notes.f_measure_known else None,
        "key": str(notes.key) if notes.key else None,
        "sections": [{"label": s.label, "from_s": _s(s.start_ms), "to_s": _s(s.end_ms)} for s in spans["sections"]],
        "drops_s": [_s(drop.at_ms) for drop in spans["drops"]],
        "builds_s": [[_s(build.start_ms), _s(build.end_ms)] for build in spans["builds"]],
        "breakdowns_s": [[_s(span.start_ms), _s(span.end_ms)] for span in spans["breakdowns"]],
        "audio_sha256": song.metadata.hashes.audio_sha256,
        "map_sha256": song.metadata.hashes.map_sha256,
    }


def _s(at_ms: float) -> float:
    return round(at_ms / 1000, 3)


def _show(args: argparse.Namespace) -> int:
    if args.plot and (fault := picture_fault(args.plot) or kind_fault(args.plot)):
        return fail("map", fault, EXIT_USAGE)
    song = _read(args.map).song
    facts = _facts(song)
    if args.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        for name, value in facts.items():
            if name == "sections" and value:
                for number, section in enumerate(value):
                    head = "" if number else name
                    print(f"{head:14}{section['from_s']:8.2f} .. {section['to_s']:8.2f} s  {section['label']}")
            else:
                print(f"{name:14}{_told(value)}")
    if args.plot:
        from k1edge.programs.plot import draw

        draw(song, song.metadata.filename).save(args.plot, optimize=True)
    return 0


def _told(value: Any) -> str:
    """A fact in words: a moment in s, a span by both its ends, several of them with commas between."""
    if isinstance(value, list):
        return ", ".join(" .. ".join(map(str, each)) if isinstance(each, list) else str(each) for each in value) or "none"
    return "not known" if value is None else str(value)


def _convert(args: argparse.Namespace) -> int:
    reading = _read(args.map)
    for note in reading.notes:
        print(f"k1edge map: {note}", file=sys.stderr)
    text = write_json(convert(reading.song, Dialect(args.to)))
    lost: dict[str, list[str]] = {}
    for path in losses(reading.song, Dialect(args.to)):
        layer, _, name = path.removeprefix("$.").removeprefix("layers.").partition(".")
        lost.setdefault(layer, []).append(name)
    for layer, names in lost.items():
        print(f"k1edge map: {args.to} has no place for {layer}: {', '.join(names)}", file=sys.stderr)
    if args.output:
        write_asked_for(args.output, text)
    else:
        sys.stdout.buffer.write(text + b"\n")
    return 0


def _diff(args: argparse.Namespace) -> int:
    changes = difference(_read(args.old).song, _read(args.new).song)
    if args.json:
        print(json.dumps(changes))
        return 0
    changed = ", ".join(changes.pop("changed")) or "nothing"
    for name, value in changes.items():
        pair = isinstance(value, list)
        print(f"{name:18}{f'{_told(value[0])} -> {_told(value[1])}' if pair else _told(value)}")
    print(f"{'changed':18}{changed}")
    return 0


def _schema(args: argparse.Namespace) -> int:
    print(json.dumps(GenesisMap.model_json_schema(), indent=2))
    return 0
