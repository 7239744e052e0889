"""What an edge says about itself, and when."""

import json
from types import SimpleNamespace

from k1edge.config import Settings
from k1edge.daemon.bulletin import Bulletin
from k1edge.daemon.health import Health
from k1edge.k1.contract import Scribe, Stamp


def test_a_drift_is_told_when_it_stands_and_not_when_it_comes_and_goes():
    bulletin, told = Bulletin(Settings(), Scribe("hall", "pi"), "boot"), []
    levels = ["ok"] * 3 + ["amber", "ok"] * 20 + ["amber"] * 4 + ["red"] * 10 + ["amber", "red"] * 5 + ["ok"] * 10
    for second, level in enumerate(levels):
        guard = SimpleNamespace(level=level, off_beat=False, is_doubtful=False, drift_ms=30.0)
        said = bulletin.health(Stamp(0, True, second * 1_000_000_000), guard, Health())
        told += [(second, json.loads(p.payload)["data"]["level"]) for p in said if p.topic.endswith("drift_warning")]
    assert told == [(52, "red"), (72, "ok")]
