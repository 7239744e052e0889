import json

import numpy as np
import pytest

from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.config import Settings
from k1edge.daemon.deployment import Deployment
from k1edge.frames import BeatEvent, BeatState, FeatureFrame, StreamFormat
from k1edge.genesis.document import seal
from k1edge.genesis.score import plain_score, score_of
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.live.desk import RefusedError
from k1edge.live.hands import Situation
from k1edge.pipeline import Pipeline
from tests.genesis.songs import song_v4

FMT = StreamFormat(48_000)
SCORE = score_of(seal(song_v4(64, 500.0)))
ASKED = {"verb": "deploy", "track": "a" * 16, "version": 3, "score": plain_score(SCORE)}
NOW = Stamp(1_700_000_000_000, True, 0)


def begun(after_s: float = 0.0, player=None):
    """A stream that began `after_s` later than the first."""
    pipeline = Pipeline(Settings(), FMT, player=player)
    clock = StreamClock(FMT, 0.0)
    clock.observe(0, round(after_s * 1e9))
    return pipeline, Timeline(clock, WallClock(NOW.ts_ms * 1_000_000, 0, True))


@pytest.fixture
def stream():
    return begun()


@pytest.fixture
def deployment():
    """Of an edge that was begun without a map."""
    return Deployment(Scribe("bar", "pi"), 150.0)


def told(deployment, stream) -> list:
    publications = list(deployment.process(*stream, NOW))
    return [contract.decode(p.topic, p.payload) if p.payload else p for p in publications]


def play(player, hops: range, late_ms: float = 0.0) -> None:
    for hop in hops:
        due = FMT.index(hop / 100 + late_ms / 1000)
        event = BeatEvent(hop // 50 + 1, due, 0, False, 1.0, 0.5) if hop % 50 == 0 else None
        player.beat(BeatState(hop * FMT.hop, 120.0, 0.0, 0.5, True, (), event))


def test_a_deployment_tells_each_change_of_state_once(deployment, stream):
    asked = {**ASKED, "start_at_ms": NOW.ts_ms + 1000.0}
    answer = deployment.ask(asked, Situation(NOW, *stream), {"k1-a": True, "k1-b": False})
    assert answer["devices"] == {"k1-a": "ok", "k1-b": "absent"}
    (waiting,) = told(deployment, stream)
    assert (waiting.id, waiting.state, waiting.start_at_ms) == (answer["deployment"], "waiting", NOW.ts_ms + 1000)
    assert told(deployment, stream) == []
    play(stream[0].player, range(200))
    assert [message.state for message in told(deployment, stream)] == ["leading"]
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {}) == {"stopped": True}
    assert [message.state for message in told(deployment, stream)] == ["stopped"]
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {}) == {"stopped": False}


def test_a_map_that_is_off_is_given_up_with_an_event(stream):
    deployment = Deployment(Scribe("bar", "pi"), 150.0, SCORE)
    stream[0].player = deployment.player(FMT)
    told(deployment, stream)
    play(stream[0].player, range(2000), 140.0)
    state, event = told(deployment, stream)
    assert state.state == "rolled_back" and state.drift_ms == pytest.approx(140, abs=1)
    assert (event.kind, event.code, event.data["deployment"]) == ("auto_rollback", "MAP_DRIFT", state.id)


def test_a_map_of_another_song_is_not_said_to_be_off(stream):
    deployment = Deployment(Scribe("bar", "pi"), 150.0, SCORE)
    player = stream[0].player = deployment.player(FMT)
    told(deployment, stream)
    for hop in range(3200):
        event = BeatEvent(hop // 43 + 1, hop * FMT.hop, 0, False, 1.0, 0.5) if hop % 43 == 0 else None
        player.beat(BeatState(hop * FMT.hop, 139.5, 0.0, 0.5, True, (), event))
    state, event = told(deployment, stream)
    assert state.state == "rolled_back" and abs(state.drift_ms) < 100
    assert event.code == "MAP_DRIFT" and event.reason == "the live beats are not those of the map: live again"


def test_a_map_that_drops_condemn_before_beats_were_compared_is_given_up_with_an_event_that_everyone_can_read(stream):
    deployment = Deployment(Scribe("bar", "pi"), 150.0, SCORE)
    player = stream[0].player = deployment.player(FMT)
    told(deployment, stream)
    player.state, player.given_up = "rolled_back", "drops are heard that the map does not have"
    state, event = told(deployment, stream)
    assert (state.state, state.drift_ms) == ("rolled_back", None)
    assert "drift_ms" not in event.data and event.reason.endswith(": live again")


def test_what_waits_goes_on_to_wait_in_the_next_stream_and_what_led_does_not(stream):
    deployment = Deployment(Scribe("bar", "pi"), 150.0, SCORE)
    play(deployment.player(FMT), range(200))
    assert deployment.player(FMT) is None
    assert [message.state for message in told(deployment, begun(5.0))] == ["over"]
    deployment.ask(ASKED, Situation(NOW, *stream), {})
    told(deployment, stream)
    assert deployment.player(FMT).start is None


def test_what_was_asked_for_between_two_streams_waits_in_the_next(deployment, stream):
    deployment.ask(ASKED, Situation(NOW, *stream), {})
    following = begun(5.0, deployment.player(FMT))
    assert [message.state for message in told(deployment, following)] == ["waiting"]


def test_a_given_start_is_kept_over_a_hole_in_the_sound(stream):
    deployment, at_ms = Deployment(Scribe("bar", "pi"), 150.0), NOW.ts_ms + 60_000.0
    deployment.ask({**ASKED, "start_at_ms": at_ms}, Situation(NOW, *stream), {})
    told(deployment, stream)
    player = deployment.player(FMT)
    assert told(deployment, begun(10.0, player)) == [] and FMT.seconds(player.start) == 50.0


def test_a_start_far_ahead_follows_the_clocks(stream):
    deployment, at_ms = Deployment(Scribe("bar", "pi"), 150.0), NOW.ts_ms + 60_000.0
    deployment.ask({**ASKED, "start_at_ms": at_ms}, Situation(NOW, *stream), {})
    stream[1].wall.update((NOW.ts_ms - 2000) * 1_000_000, 0, True)
    told(deployment, stream)
    assert FMT.seconds(stream[0].player.start) == 62.0


def test_what_was_stopped_between_two_streams_does_not_wait_in_the_next(deployment, stream):
    deployment.ask(ASKED, Situation(NOW, *stream), {})
    told(deployment, stream)
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {}) == {"stopped": True}
    following = begun(5.0, deployment.player(FMT))
    assert [message.state for message in told(deployment, following)] == ["stopped"]


def test_what_waits_is_called_off_without_a_stream(deployment, stream):
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW), {}) == {"stopped": False}
    deployment.ask(ASKED, Situation(NOW, *stream), {})
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW), {}) == {"stopped": True}
    assert deployment.player(FMT) is None


def test_without_sound_what_led_is_over_and_cannot_be_stopped(stream):
    deployment = Deployment(Scribe("bar", "pi"), 150.0, SCORE)
    stream[0].player = deployment.player(FMT)
    play(stream[0].player, range(200))
    assert [message.state for message in told(deployment, stream)] == ["leading"]
    assert [message.state for message in told(deployment, (None, stream[1]))] == ["over"]
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {}) == {"stopped": False}


def test_without_sound_what_waits_goes_on_to_wait(deployment, stream):
    deployment.ask({**ASKED, "start_at_ms": NOW.ts_ms + 60_000.0}, Situation(NOW, *stream), {})
    assert [message.state for message in told(deployment, (None, stream[1]))] == ["waiting"]
    following = begun(5.0, deployment.player(FMT))
    assert told(deployment, following) == [] and FMT.seconds(following[0].player.start) == 55.0


def test_of_what_the_broker_has_kept_only_the_last_that_was_told_stands(deployment, stream):
    order = deployment.ask(ASKED, Situation(NOW, *stream), {})["deployment"]
    told(deployment, stream)
    (cleared,) = deployment.found("deploy-0")
    assert cleared.topic.endswith("/deploy/deploy-0") and cleared.retain and cleared.payload == b""
    assert list(deployment.found(order)) == []


def test_a_hole_in_the_sound_is_not_the_pause_before_the_song(deployment, stream):
    deployment.ask(ASKED, Situation(NOW, *stream), {})
    told(deployment, stream)
    player = deployment.player(FMT)
    player.hear(FeatureFrame(FMT.hop, np.zeros(80), np.zeros(4), -20.0, -90.0, 0.0, np.zeros(12), False))
    assert player.start is None


def test_on_a_live_line_the_song_of_the_first_map_is_waited_for():
    assert Deployment(Scribe("bar", "pi"), 150.0, SCORE, by_ear=True).player(FMT).start is None
    assert Deployment(Scribe("bar", "pi"), 150.0, SCORE).player(FMT).start == 0


def test_a_new_deployment_takes_the_place_of_the_last(deployment, stream):
    first = deployment.ask(ASKED, Situation(NOW, *stream), {})["deployment"]
    told(deployment, stream)
    second = deployment.ask(ASKED, Situation(NOW, *stream), {})["deployment"]
    cleared, message = told(deployment, stream)
    assert cleared.topic.endswith(first) and cleared.retain and message.id == second
    (goodbye,) = deployment.farewell()
    assert goodbye.topic.endswith(second) and goodbye.payload == b""


@pytest.fixture
def led(deployment, stream):
    """A map leads, and that of the next song, which begins in a minute, has been asked for."""
    first = deployment.ask({**ASKED, "start_at_ms": NOW.ts_ms}, Situation(NOW, *stream), {})["deployment"]
    play(stream[0].player, range(200))
    assert [message.state for message in told(deployment, stream)] == ["leading"]
    second = deployment.ask({**ASKED, "start_at_ms": NOW.ts_ms + 60_000.0}, Situation(NOW, *stream), {})["deployment"]
    assert [(message.id, message.state) for message in told(deployment, stream)] == [(second, "waiting")]
    return deployment, first, second


def test_a_map_leads_on_until_the_song_of_the_next_begins(stream, led):
    deployment, first, second = led
    leading = stream[0].player
    assert leading.state == "leading" and told(deployment, stream) == []
    assert list(deployment.found(first)) == list(deployment.found(second)) == []
    later = NOW._replace(ts_ms=NOW.ts_ms + 60_000)
    assert list(deployment.process(*stream, later)) == []
    following = stream[0].player
    assert following is not leading and FMT.seconds(following.start) == 60.0
    play(following, range(6_000, 6_100))
    cleared, message = told(deployment, stream)
    assert cleared.topic.endswith(first) and cleared.payload == b""
    assert (message.id, message.state) == (second, "leading")


def test_where_a_map_is_over_before_the_next_song_begins_that_waits(stream, led):
    deployment, first, _ = led
    play(stream[0].player, range(200, 3_600))
    assert [(message.id, message.state) for message in told(deployment, stream)] == [(first, "over")]
    assert told(deployment, stream) == [] and stream[0].player.state == "waiting"
    assert FMT.seconds(stream[0].player.start) == 60.0


def test_a_stop_ends_both_the_map_that_leads_and_the_next(stream, led):
    deployment, first, second = led
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {}) == {"stopped": True}
    messages = [message for message in told(deployment, stream) if isinstance(message, contract.Deployment)]
    assert [(message.id, message.state) for message in messages] == [(first, "stopped"), (second, "stopped")]
    assert deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {}) == {"stopped": False}


def test_the_next_map_waits_in_the_next_stream(stream, led):
    deployment, first, _ = led
    following = begun(30.0, deployment.player(FMT))
    assert [(message.id, message.state) for message in told(deployment, following)] == [(first, "over")]
    assert told(deployment, following) == [] and FMT.seconds(following[0].player.start) == 30.0


def test_a_map_that_is_to_lead_at_once_takes_the_place_of_all(stream, led):
    deployment, first, second = led
    third = deployment.ask({**ASKED, "start_at_ms": NOW.ts_ms - 1.0}, Situation(NOW, *stream), {})["deployment"]
    *cleared, message = told(deployment, stream)
    assert {publication.topic.rpartition("/")[2] for publication in cleared} == {first, second} and message.id == third


def test_without_audio_there_is_nothing_to_lead(deployment):
    with pytest.raises(RefusedError, match="no audio"):
        deployment.ask(ASKED, Situation(NOW), {})


@pytest.mark.parametrize(("at_ms", "off"), [
    (NOW.ts_ms * 1000.0, r"\+1698300000000"), (NOW.ts_ms / 1000, "-1698300000"), (NOW.ts_ms - 33_000.0, "-33"),
    (NOW.ts_ms + 86_401_000.0, r"\+86401"),
], ids=["us", "s", "over", "tomorrow"])  # fmt: skip
def test_a_start_in_another_unit_or_of_a_song_that_is_over_is_refused(deployment, stream, at_ms, off):
    with pytest.raises(RefusedError, match=f"start_at_ms is {off} s from now by the clock of this edge") as refused:
        deployment.ask({**ASKED, "start_at_ms": at_ms}, Situation(NOW, *stream), {})
    assert refused.value.code == "INVALID_REQUEST"
    assert told(deployment, stream) == [] and stream[0].player is None


@pytest.mark.parametrize("off_s", [-32.0, 0.0, 86_400.0])
def test_a_song_that_plays_or_begins_within_a_day_may_be_led(deployment, stream, off_s):
    asked = {**ASKED, "start_at_ms": NOW.ts_ms + 1000 * off_s}
    assert deployment.ask(asked, Situation(NOW, *stream), {})["start_at_ms"] == asked["start_at_ms"]


def test_what_is_told_of_a_start_the_contract_takes_from_a_caller_and_no_more():
    def request(at_ms):
        args = {"track": "a" * 16, "start_at_ms": at_ms}
        return contract.decode("k1/v1/bar/edge/pi/request/deploy", json.dumps({"id": "1", "args": args}).encode())

    assert request(NOW.ts_ms + 0.5).args.start_at_ms == NOW.ts_ms + 0.5
    with pytest.raises(contract.ContractError, match="start_at_ms"):
        request(NOW.ts_ms * 1000.0)


def test_a_song_that_is_recalled_is_led_from_where_it_is_and_given_up_as_any(deployment, stream):
    assert deployment.standing is None
    pipeline, _ = stream
    player = deployment.recall({**ASKED, "start_s": -20.0, "speed": 1.0}, pipeline, {"k1-a": True})
    assert deployment.standing == "", "it is to lead"
    play(player, range(1, 3))
    assert deployment.standing == "a" * 16
    (leading,) = told(deployment, stream)
    assert (leading.state, leading.track, leading.version, leading.devices) == ("leading", "a" * 16, 3, {"k1-a": "ok"})
    assert leading.start_at_ms == NOW.ts_ms - 20_000
    before = player.alignment.song(2 * FMT.hop)
    assert pipeline.act("confirm", 0.02), "by its sound"
    assert FMT.seconds(player.alignment.song(2 * FMT.hop) - before) == pytest.approx(0.02, abs=1e-3)
    deployment.ask({"verb": "deploy.stop"}, Situation(NOW, *stream), {})
    assert [each.state for each in told(deployment, stream)] == ["stopped"]
    assert not pipeline.act("confirm", 0.02)
    assert deployment.standing is None


def test_a_map_that_was_given_as_a_file_is_of_no_track():
    deployment = Deployment(Scribe("bar", "pi"), 150.0, SCORE)
    assert deployment.standing == ""
    player = deployment.player(FMT)
    play(player, range(1, 3))
    assert (player.state, deployment.standing) == ("leading", "")
