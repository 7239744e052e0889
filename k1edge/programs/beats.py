"""`k1edge beats FILE`: the live tracker over a file, one line for each announcement as it is made.

Consumes an audio file, prints a table. Nothing asks whether it is music, as the whole engine does before it tells of a beat.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from k1edge.audio import AudioError
from k1edge.audio.files import FileSource
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.config.settings import ENGINES, OWN_ENGINE
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import BeatState
from k1edge.programs.options import EXIT_FAILED, EXIT_USAGE, fail

COLUMNS = ("announced_s", "due_s", "number", "beat_in_bar", "bpm", "confidence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
One line for each announcement, tab-separated: announced_s (the end of the audio heard by then), due_s, number (a correction
repeats it), beat_in_bar (1 = downbeat, 0 = unknown), bpm, confidence. Beats in speech or noise are included, though
the service does not announce them. No configuration is read: the defaults apply.

examples:
  k1edge beats song.mp3
  k1edge beats song.mp3 | awk 'NR > 1 { due[$3] = $2 } END { for (n in due) print due[n] }' | sort -n    as last corrected

exit code: 0 done, 1 the file cannot be read, 2 wrong usage"""
    parser.add_argument("file", type=Path, metavar="FILE", help="wav, flac, ogg, mp3 or m4a")
    parser.add_argument("--engine", choices=ENGINES, default=OWN_ENGINE, help="default: %(default)s")
    parser.add_argument("--lead-ms", type=int, default=150, metavar="MS",
                        help="how far ahead a beat is announced, 100..400 (default: %(default)s)")


def announcements(source: FileSource, settings: BeatSettings) -> Iterator[BeatState]:
    """The states of one pass over a source in which a beat is announced."""
    features, tracker = FeatureExtractor(source.fmt), make_tracker(settings, source.fmt)
    for block in source:
        state = tracker.process(block, features.process(block))
        if state.announced is not None:
            yield state


def main(args: argparse.Namespace) -> int:
    if not 100 <= args.lead_ms <= 400:
        return fail("beats", f"--lead-ms {args.lead_ms} is outside 100..400", EXIT_USAGE)
    settings = BeatSettings(engine=args.engine, lead_ms=args.lead_ms)
    try:
        source = FileSource(args.file)
        print("\t".join(COLUMNS))
        for state in announcements(source, settings):
            event, seconds = state.announced, source.fmt.seconds
            print(f"{seconds(state.end):.3f}\t{seconds(event.due):.4f}\t{event.number}\t{event.in_bar}"
                  f"\t{state.tempo_bpm:.2f}\t{event.confidence:.3f}")
    except AudioError as error:
        return fail("beats", error, EXIT_FAILED)
    return 0
