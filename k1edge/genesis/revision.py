"""One version of a map and the next: beats changed by hand, and what differs between two.

Consumes `GenesisMap`s, emits a new map, or numbers. Times are ms. A change of beats re-derives what depends on them: tempo,
downbeats, strengths, and the drops that stand on them.
"""

from __future__ import annotations

import bisect
import statistics
from itertools import pairwise
from typing import Any

from k1edge.genesis.codec import BANDS, Document
from k1edge.genesis.document import GenesisMap, plain, seal
from k1edge.genesis.faults import MapError, MapFault
from k1edge.genesis.metre import bar_lines

SAME_BEAT_MS = 70.0
"""The window of the field's F-measure: nearer than this, two beats are the same beat."""
MOVED_MS = 0.5
"""Nearer than this, it has not moved: other dialects round."""
STRENGTH_WINDOW_MS = 60.0
SNAP_DROP_MS = 250.0
TEMPO_MEDIAN = 5
TEMPO_SPAN = 8
OPERATIONS = 'is none of {"op": "add", "at_ms": N}, {"op": "delete", "at_ms": N}, {"op": "move", "from_ms": N, "to_ms": N}'


def _nearest(times: list[float], at_ms: float, within_ms: float) -> int | None:
    """Index of the time nearest to `at_ms`; None when none is that near."""
    right = bisect.bisect(times, at_ms)
    near = [n for n in (right - 1, right) if 0 <= n < len(times) and abs(times[n] - at_ms) <= within_ms]
    return min(near, key=lambda n: abs(times[n] - at_ms), default=None)


def _same_beat(times: list[float], at_ms: float, path: str) -> int:
    index = _nearest(times, at_ms, SAME_BEAT_MS)
    if index is None:
        raise MapError([MapFault(path, f"there is no beat within {SAME_BEAT_MS:g} ms of {at_ms:g} ms")])
    return index


def edited(beats_ms: list[float], operations: list[Document]) -> list[float]:
    """The beats after `{op: add, at_ms}`, `{op: delete, at_ms}` and `{op: move, from_ms, to_ms}`, in order."""
    beats = sorted(beats_ms)
    for number, operation in enumerate(operations):
        path = f"$.ops[{number}]"
        match operation:
            case {"op": "add", "at_ms": int() | float() as at_ms}:
                bisect.insort(beats, float(at_ms))
            case {"op": "delete", "at_ms": int() | float() as at_ms}:
                del beats[_same_beat(beats, at_ms, path)]
            case {"op": "move", "from_ms": int() | float() as from_ms, "to_ms": int() | float() as to_ms}:
                del beats[_same_beat(beats, from_ms, path)]
                bisect.insort(beats, float(to_ms))
            case _:
                raise MapError([MapFault(path, OPERATIONS)])
    return beats


def _downbeats(old: list[float], beats: list[float]) -> list[float]:
    """The old downbeats where they still are beats; what was one bar is one. Where others were between, and after the last,
    bars are as long as most around."""
    kept = {index: number for number, at_ms in enumerate(old) if (index := _nearest(beats, at_ms, SAME_BEAT_MS)) is not None}
    if not kept:
        return []
    bars = [b - a if kept[b] == kept[a] + 1 else 0 for a, b in pairwise(kept)]
    return [beats[index] for index in bar_lines(list(kept), len(beats), bars)]


def _strengths(frequency: Document, beats: list[float]) -> list[float]:
    """How much sounds at each beat: the bands' peaks near it, 1.0 = the strongest beat."""
    sums = [0.0] * len(beats)
    for band in BANDS:
        times = [point["time_ms"] for point in frequency[band]]
        for n, beat in enumerate(beats):
            first = bisect.bisect_left(times, beat - STRENGTH_WINDOW_MS)
            last = bisect.bisect(times, beat + STRENGTH_WINDOW_MS)
            sums[n] += max((point["intensity"] for point in frequency[band][first:last]), default=0.0)
    strongest = max(sums, default=0.0)
    return [round(value / strongest, 3) if strongest else 0.0 for value in sums]


def _snapped(drops: list[Document], beats: list[float]) -> list[Document]:
    snapped = []
    for drop in drops:
        index = _nearest(beats, drop["at_ms"], SNAP_DROP_MS)
        snapped.append(drop if index is None else drop | {"at_ms": beats[index]})
    return snapped


def tempo_bpm(beats: list[float]) -> float:
    """The tempo of two beats or more: the median over spans of TEMPO_SPAN beats, longer than any beat is early or late."""
    span = min(TEMPO_SPAN, len(beats) - 1)
    periods = [(beats[n + span] - beats[n]) / span for n in range(len(beats) - span)]
    return round(60_000 / statistics.median(periods), 3)


def tempo_curve(beats: list[float]) -> Document:
    """The tempo at each beat but the first, as columns; a median of TEMPO_MEDIAN intervals, so that no slip shows."""
    intervals = [b - a for a, b in pairwise(beats)]
    half = TEMPO_MEDIAN // 2
    windows = (intervals[max(n - half, 0) : n + half + 1] for n in range(len(intervals)))
    return {"at_ms": beats[1:], "bpm": [round(60_000 / statistics.median(window), 2) for window in windows]}


def with_beats(song: GenesisMap, beats_ms: list[float], override: Document) -> GenesisMap:
    """A new map with these beats; `override` (by, at, note) is kept in its annotations. Raises `MapError`."""
    document = plain(song)
    layers, rhythm = document["layers"], document["layers"]["rhythm"]
    beats = sorted(beats_ms)
    if len(beats) < 2 or any(b <= a for a, b in pairwise(beats)):
        raise MapError([MapFault("$.beats", "needs at least two beats, all at different times")])
    annotations = layers.get("annotations", {})
    rhythm |= {"beat_grid_ms": beats, "downbeat_ms": _downbeats(rhythm["downbeat_ms"], beats)}
    rhythm["beat_strength"] = _strengths(layers["frequency"], beats)
    document["global_metrics"]["bpm"] = tempo_bpm(beats)
    annotations |= {"override": override, "tempo_curve": tempo_curve(beats)}
    if "drops" in annotations:
        annotations["drops"] = _snapped(annotations["drops"], beats)
    layers["annotations"] = annotations
    return seal(document)


def matched(beats_a: list[float], beats_b: list[float]) -> list[tuple[float, float]]:
    """The beats of both lists that stand within SAME_BEAT_MS of each other, each used once."""
    pairs, position = [], 0
    for beat in beats_a:
        while position < len(beats_b) and beats_b[position] < beat - SAME_BEAT_MS:
            position += 1
        if position < len(beats_b) and beats_b[position] <= beat + SAME_BEAT_MS:
            pairs.append((beat, beats_b[position]))
            position += 1
    return pairs


def _parts(song: GenesisMap) -> Document:
    """What a map says, by name; not its metadata, which are never the same."""
    document = plain(song)
    layers = {"global_metrics": document["global_metrics"]} | document["layers"]
    whole = {layer: holds for layer, holds in layers.items() if not isinstance(holds, dict)}
    return whole | {f"{layer}.{name}": holds[name] for layer, holds in layers.items() if layer not in whole for name in holds}


def _form(song: GenesisMap) -> Document:
    notes = song.notes
    sections, drops = notes.sections or [], notes.drops or []
    return {
        "key": str(notes.key) if notes.key else None,
        "sections": [section.label for section in sections],
        "section_starts_ms": [section.start_ms for section in sections],
        "drops_ms": [drop.at_ms for drop in drops],
    }


def difference(old: GenesisMap, new: GenesisMap) -> dict[str, Any]:
    """What changed, in numbers, and the names of all parts that did."""
    a, b = old.layers.rhythm, new.layers.rhythm
    pairs = matched(a.beat_grid_ms, b.beat_grid_ms)
    shifts = [after - before for before, after in pairs if abs(after - before) > MOVED_MS]
    before, after, form = _parts(old), _parts(new), _form(new)
    return {
        "bpm": [old.global_metrics.bpm, new.global_metrics.bpm],
        "duration_ms": [old.global_metrics.duration_ms, new.global_metrics.duration_ms],
        "beats": [len(a.beat_grid_ms), len(b.beat_grid_ms)],
        "matched_beats": len(pairs),
        "moved_beats": len(shifts),
        "moved_by_ms": round(statistics.median(shifts), 1) if shifts else 0.0,
        "beat_f_measure": round(2 * len(pairs) / (len(a.beat_grid_ms) + len(b.beat_grid_ms)), 4),
        "downbeats": [len(a.downbeat_ms), len(b.downbeat_ms)],
        "matched_downbeats": len(matched(a.downbeat_ms, b.downbeat_ms)),
        **{name: [value, form[name]] for name, value in _form(old).items()},
        "changed": sorted(name for name in before | after if before.get(name) != after.get(name)),
    }
