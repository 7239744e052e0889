"""`k1edge replay FILE`: a saved flight recording, decided anew and shown.

Consumes a recording; prints what happened as a table, one line for each thing that changed or was done by hand, and whether the
decisions made anew are the recorded ones, bit for bit. Where they are not, the code has changed since, and the first difference
is shown; where it has changed too much to go on from the checkpoint, only what was recorded can be.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from k1edge.daemon.recorder import DECISIONS, Stretch, as_features, decision_row, read
from k1edge.frames import AudioBlock, GenesisFrame
from k1edge.live import checkpoint
from k1edge.live.checkpoint import CheckpointError
from k1edge.pipeline import Act, Pipeline
from k1edge.programs.options import fail

DIFFERENT = 1
BY_THE_CLOCK = "begin_at"
"""What nobody does by hand: where a map that waits begins is known better each second."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge replay flight.k1rec                    what happened, and whether it would be decided so again
  k1edge replay flight.k1rec --recorded --beats

exit code: 0 decided the same, 1 differently, 65 the file is no recording, 66 it cannot be read"""
    parser.add_argument("file", type=Path, metavar="FILE", help="a .k1rec file, as the request recorder.save wrote it")
    parser.add_argument("--beats", action="store_true", help="show every announced beat, too")
    parser.add_argument("--recorded", action="store_true", help="show what was recorded, without deciding anew")


def main(args: argparse.Namespace) -> int:
    try:
        stretches = read(args.file)
        rate_hz = _rate_hz(stretches)
        differences = 0
        for stretch in stretches:
            decisions = stretch.decisions if args.recorded else decided_anew(stretch)
            for line in told(stretch, decisions, rate_hz, args.beats):
                print(line)
            differences += _compare(stretch.decisions, decisions)
    except OSError as fault:
        return fail("replay", f"{args.file}: {fault.strerror or fault}", os.EX_NOINPUT)
    except ValueError as error:
        return fail("replay", error, os.EX_DATAERR)
    hops = sum(stretch.used for stretch in stretches)
    if args.recorded:
        return 0
    verdict = f"{differences} of {hops} hops decided differently" if differences else f"{hops} hops decided anew: identical"
    print(verdict, file=sys.stderr)
    return DIFFERENT if differences else 0


def decided_anew(stretch: Stretch) -> np.ndarray:
    """(rows,) DECISIONS of a stretch, from its checkpoint and its features. Raises CheckpointError."""
    pipeline = checkpoint.loads(stretch.checkpoint)
    if not isinstance(pipeline, Pipeline):
        raise CheckpointError("the checkpoint holds no pipeline")
    decisions = np.empty(stretch.used, DECISIONS)
    try:
        for number, frame in enumerate(_frames(pipeline, stretch)):
            decisions[number] = decision_row(frame)
    except AttributeError as error:  # the stages keep something else since
        raise CheckpointError(f"recorded by another version ({error}): see it with --recorded") from error
    return decisions


def _frames(pipeline: Pipeline, stretch: Stretch) -> Iterator[GenesisFrame]:
    silence = np.zeros(pipeline.fmt.hop, np.float32)
    for hop, row in enumerate(stretch.features):
        for act in _acts(stretch, hop):
            pipeline.act(*act)
        features = as_features(row)
        yield pipeline.decide(AudioBlock(silence, features.end - len(silence), 0), features)


def _acts(stretch: Stretch, hop: int) -> tuple[Act, ...]:
    """What was done before a hop."""
    return checkpoint.loads(stretch.acts[hop]) if hop in stretch.acts else ()


def told(stretch: Stretch, decisions: np.ndarray, rate_hz: int, beats: bool) -> Iterator[str]:
    """One line for each thing that changed or was done by hand."""
    before: tuple = ()
    for hop, (features, decision) in enumerate(zip(stretch.features, decisions, strict=True)):
        at = f"{features['end'] / rate_hz:10.2f} s"
        for verb, *_ in _acts(stretch, hop):
            if verb != BY_THE_CLOCK:
                yield f"{at}  by hand: {verb}"
        now = (bool(decision["lock"]), decision["label"], decision["look"], decision["wire"])
        if now != before:
            beat = f"{decision['tempo_bpm']:.1f} BPM" if now[0] else "no beat"
            label, look, wire = (each.decode() for each in now[1:])
            yield f"{at}  {wire:<8} {label:<10} {beat:<10} look {look:<10} confidence {decision['confidence']:.2f}"
            before = now
        if decision["moments"]:
            yield f"{at}  {decision['moments'].decode()}"
        if beats and decision["number"]:
            lead_ms = (decision["due"] - features["end"]) / rate_hz * 1000
            yield f"{at}  beat {decision['number']} in bar {decision['in_bar']}, due in {lead_ms:.0f} ms"


def _compare(recorded: np.ndarray, decided: np.ndarray) -> int:
    same = np.array([a.tobytes() == b.tobytes() for a, b in zip(recorded, decided, strict=True)], bool)
    if not same.all():
        first = int(np.flatnonzero(~same)[0])
        print(f"first difference at hop {first}:\n  recorded {recorded[first]}\n  anew     {decided[first]}", file=sys.stderr)
    return int((~same).sum())


def _rate_hz(stretches: list[Stretch]) -> int:
    """From the first two hops, which are 10 ms apart."""
    ends = next((s.features["end"] for s in stretches if s.used > 1), np.array([0, 480]))
    return int(np.min(np.diff(ends[:100]))) * 100
