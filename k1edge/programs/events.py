"""`k1edge events FILE`: the live engine over a file, one line for each decision as it is made.

Consumes an audio file, prints a table of `Event`s.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from k1edge.audio import AudioError
from k1edge.audio.files import FileSource
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings, GenesisSettings
from k1edge.config.settings import ENGINES, OWN_ENGINE
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import AudioBlock, StreamFormat
from k1edge.genesis.decision import MOMENTS
from k1edge.genesis.structure import Form, Structure
from k1edge.programs.options import EXIT_FAILED, fail


class Event(NamedTuple):
    """One decision."""

    time_s: float
    """Where in the song."""
    kind: str
    """section, build, drop, breakdown or wire."""
    label: str
    probability: float
    decided_at_s: float
    """The end of the audio heard by then: never before it happened."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
One line for each decision, tab-separated: time_s (where in the song), kind, label, probability, decided_at_s (the end of the
audio heard by then). A section has one line, with the label it was entered by; one that turns out to be a build has a line of
that kind later. No configuration is read: the defaults apply.

example:
  k1edge events song.mp3 | grep drop

exit code: 0 done, 1 the file cannot be read"""
    parser.add_argument("file", type=Path, metavar="FILE", help="wav, flac, ogg, mp3 or m4a")
    parser.add_argument("--engine", choices=ENGINES, default=OWN_ENGINE,
                        help="who finds the beat (default: %(default)s)")


def forms(blocks: Iterable[AudioBlock], fmt: StreamFormat, beat: BeatSettings) -> Iterator[tuple[int, Form]]:
    """(end, form) after every hop, as the live engine has it."""
    features, tracker = FeatureExtractor(fmt), make_tracker(beat, fmt)
    structure = Structure(GenesisSettings(), fmt)
    for block in blocks:
        frame = features.process(block)
        yield frame.end, structure.process(frame, tracker.process(block, frame))


def decisions(stream: Iterable[tuple[int, Form]], fmt: StreamFormat) -> Iterator[Event]:
    """What has been decided, in the order in which it was."""
    index, state = -1, ""
    for end, form in stream:
        wire, section, now = form.wire, form.section, fmt.seconds(end)
        if wire.state != state:
            state = wire.state
            yield Event(fmt.seconds(wire.since), "wire", state, wire.confidence, now)
        if section.index != index:
            index = section.index
            yield Event(fmt.seconds(section.since), "section", section.label, section.confidence, now)
        for moment in form.moments:
            if moment.kind in MOMENTS:
                yield Event(fmt.seconds(moment.due), moment.kind, section.label, moment.confidence, now)


def main(args: argparse.Namespace) -> int:
    try:
        source = FileSource(args.file)
        print("\t".join(Event._fields))
        for event in decisions(forms(source, source.fmt, BeatSettings(engine=args.engine)), source.fmt):
            print(f"{event.time_s:.3f}\t{event.kind}\t{event.label}\t{event.probability:.3f}\t{event.decided_at_s:.3f}")
    except AudioError as error:
        return fail("events", error, EXIT_FAILED)
    return 0
