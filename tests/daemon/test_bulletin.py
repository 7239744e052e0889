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


def test_light_that_is_off_the_beat_is_in_the_status_whatever_else_is():
    bulletin = Bulletin(Settings(), Scribe("hall", "pi"), "boot")
    guard = SimpleNamespace(level="red", off_beat=True, is_doubtful=False, drift_ms=130.0)
    for off_beat, told in ((True, ("degraded", "DRIFT")), (False, ("ready", "BROKER_BACK"))):
        guard.off_beat = off_beat
        (status, *_) = bulletin.health(Stamp(0, True, 1), guard, ("ready", "BROKER_BACK", "it was away"))
        body = json.loads(status.payload)
        assert (body["state"], body["code"]) == told
