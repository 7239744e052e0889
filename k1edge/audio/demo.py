"""The demo song: 90 seconds of house in A minor at 124 BPM, composed for this project; the first thing a user meets.

Emits one `Sound` with its truth: intro, build, drop, breakdown, a second build, drop, outro.
"""

from __future__ import annotations

from dataclasses import replace

from k1edge.audio.composer import Chord, Passage, Style, compose
from k1edge.audio.synth import RATE_HZ, Sound

_AM7 = Chord(33, (57, 60, 64, 67))
_FMAJ7 = Chord(29, (53, 57, 60, 64))
_CADD9 = Chord(36, (55, 60, 62, 64))
_G6 = Chord(31, (55, 59, 62, 64))
_EM7 = Chord(28, (55, 59, 62, 64))

_HOOK = (
    ((0, 76, 3), (3, 74, 3), (6, 72, 2), (8, 76, 3), (11, 79, 3), (14, 76, 2)),
    ((0, 72, 3), (3, 69, 3), (6, 72, 2), (8, 74, 4), (12, 72, 2), (14, 69, 2)),
    ((0, 67, 3), (3, 72, 3), (6, 74, 2), (8, 76, 6), (14, 79, 2)),
    ((0, 74, 3), (3, 71, 3), (6, 67, 2), (8, 71, 3), (11, 74, 3), (14, 71, 2)),
)

STYLE = Style(bpm=124.0, chords=(_AM7, _FMAJ7, _CADD9, _G6, _AM7, _FMAJ7, _CADD9, _EM7), melody=_HOOK)

_INTRO = Passage("intro", 8, kick="four", hats=1, bass="offbeat", chords="pad", arp=True, cutoff_hz=(450, 1_800))
_BUILD = Passage("build", 8, chords="pad", arp=True, cutoff_hz=(700, 12_000), roll=True, riser=True, rest_beats=1)
_DROP = Passage("drop", 8, kick="four", clap=True, hats=3, bass="rolling", chords="pad", lead=True, impact=True)
_BREAKDOWN = Passage("breakdown", 4, chords="pad", arp=True, lead=True, cutoff_hz=(6_000, 900), gain=0.9)
_OUTRO = Passage("outro", 6, kick="four", hats=2, bass="offbeat", chords="pad", cutoff_hz=(4_000, 250), impact=True)

FORM = (
    _INTRO,
    replace(_BUILD, clap=True, hats=2),
    _DROP,
    _BREAKDOWN,
    replace(_BUILD, bars=4, hats=1, chords="stabs"),
    replace(_DROP, chords="stabs", arp=True),
    _OUTRO,
)


def demo_song() -> Sound:
    """Composes and plays it; takes a second or two."""
    return compose(STYLE, FORM, RATE_HZ)
