import json
import re
from itertools import accumulate, pairwise

import pytest

from k1edge.genesis.document import seal
from k1edge.genesis.faults import MapError
from k1edge.genesis.revision import edited, with_beats
from tests.genesis.songs import song_v4

OVERRIDE = {"by": "ana", "at": "2026-11-30T00:00:00Z", "note": ""}


def bars_after(bars, *operations):
    """Beats of each bar when the song has been edited; beats half a second apart, the first at 500 ms."""
    lines = list(accumulate(bars, initial=0))
    document = song_v4(lines[-1] + 1, 500.0)
    rhythm = document["layers"]["rhythm"]
    rhythm["downbeat_ms"] = [rhythm["beat_grid_ms"][n] for n in lines]
    song = with_beats(seal(document), edited(rhythm["beat_grid_ms"], list(operations)), OVERRIDE)
    beats = song.layers.rhythm.beat_grid_ms
    return [b - a for a, b in pairwise(beats.index(at_ms) for at_ms in song.layers.rhythm.downbeat_ms)]


@pytest.mark.parametrize("bars", [[3] * 8 + [4] * 4 + [3] * 8, [4] * 4 + [5] + [4] * 4, [4] * 4 + [8] + [4] * 4], ids=str)
def test_one_beat_that_is_moved_leaves_every_bar_as_it_was(bars):
    assert bars_after(bars, {"op": "move", "from_ms": 1500.0, "to_ms": 1520.0}) == bars


@pytest.mark.parametrize(("operation", "bars"), [
    ({"op": "add", "at_ms": 3250.0}, [4, 5, 4, 4]),
    ({"op": "delete", "at_ms": 3000.0}, [4, 3, 4, 4]),
    ({"op": "delete", "at_ms": 4500.0}, [4, 4, 3, 4]),
    ({"op": "move", "from_ms": 4500.0, "to_ms": 4600.0}, [4, 4, 4, 4]),
], ids=lambda each: str(each))  # fmt: skip
def test_only_the_bars_of_the_beats_that_are_edited_change(operation, bars):
    assert bars_after([4, 4, 4, 4], operation) == bars


@pytest.mark.parametrize("wrong", [{"op": "delete", "at": 500.0}, {"at_ms": 500.0}, {"op": "shift", "at_ms": 500.0}])
def test_an_operation_that_is_none_is_told_how_each_is_written(wrong):
    with pytest.raises(MapError) as caught:
        edited([0.0, 500.0], [wrong])
    written = [json.loads(one.replace("N", "1")) for one in re.findall(r"{.*?}", str(caught.value))]
    assert [one["op"] for one in written] == ["add", "delete", "move"]
    for one in written:
        edited([1.0, 500.0], [one])
