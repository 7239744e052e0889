"""What people may ask of an edge, and what becomes of it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k1edge.daemon.lending import VERBS as LENT
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe
from k1edge.k1.contract.message import REQUEST_LIMIT_BYTES
from k1edge.live.desk import Desk, ReplyTo
from k1edge.live.hands import Hands, Situation
from tests.music import BRIGHT, EPOCH_MS, Tracker, at, timeline


def new_hands(scenes=True):
    scribe = Scribe("hall", "pi")
    return Hands(scribe, Desk(scribe), scenes)


@pytest.fixture
def hands():
    return new_hands()


@pytest.fixture
def tracker():
    return Tracker()


def when(hop=100, tracker=None):
    playing = None if tracker is None else SimpleNamespace(act=lambda verb, *args: getattr(tracker, verb)(*args))
    return Situation(at(hop), playing, timeline())


def ask(hands, verb, now=None, reply_to="", **fields):
    body = {"id": "1", "caller": "alice"} | fields
    topic = f"k1/v1/hall/edge/pi/request/{verb}"
    sent = list(hands.request(topic, json.dumps(body).encode(), ReplyTo(reply_to, b"42"), now or when()))
    for p in sent:
        if p.topic.startswith("k1/"):
            contract.decode(p.topic, p.payload)
    return sent


def answer(hands, verb, **fields):
    return json.loads(ask(hands, verb, **fields)[0].payload)


def test_a_manual_scene_wins_until_its_lease_ends(hands):
    said = answer(hands, "scene.apply", args={"pattern": "bloom", "palette": "Lava", "lease_s": 3.0})
    assert said["result"] == "ok"
    assert said["data"]["expires_at_ms"] == EPOCH_MS + 1000 + 3000
    assert hands.look(BRIGHT).pattern == "bloom"
    list(hands.process(when(399)))
    assert hands.look(BRIGHT).pattern == "bloom"
    list(hands.process(when(400)))
    assert hands.look(BRIGHT) is BRIGHT


def test_an_answer_holds_what_the_contract_says(hands):
    needed = {"scene.apply": {"pattern": "bloom"}, "beat.nudge": {"ms": 5.0}}
    now = replace(when(tracker=Tracker()), save_recording=lambda: "night.k1rec")
    for verb in hands._verbs:
        hands.override = None
        said = answer(hands, verb, now=now, args=needed.get(verb, {}))
        assert (said["result"], set(said["data"])) == ("ok", set(contract.VERBS[verb].answer)), verb


def test_whatever_can_be_asked_for_is_done_by_the_hands_or_the_library(hands):
    assert set(hands._verbs) | LENT == set(contract.VERBS)


def scenes(hands, hop, shown=BRIGHT):
    list(hands.process(when(hop)))
    told = [json.loads(p.payload) for p in hands.scene(at(hop), shown)]
    return [(each["look"], each["origin"], each.get("held_until_ms")) for each in told]


def test_the_scene_that_is_shown_is_a_state_with_who_chose_it_and_until_when(hands):
    assert scenes(hands, 1, None) == [], "nothing is shown yet"
    assert scenes(hands, 100) == [(BRIGHT.name, "auto", None)]
    assert scenes(hands, 101) == []
    answer(hands, "scene.apply", args={"pattern": "bloom", "palette": "Lava", "lease_s": 3.0})
    assert scenes(hands, 200, hands.look(BRIGHT)) == [("request", "request", EPOCH_MS + 4000)]
    assert scenes(hands, 400) == [(BRIGHT.name, "auto", None)]
    hands.foreign_scene("porch", when(500).stamp.monotonic_ns)
    assert scenes(hands, 500) == [(BRIGHT.name, "foreign", EPOCH_MS + 13_000)]
    assert scenes(hands, 1300) == [(BRIGHT.name, "auto", None)]
    answer(hands, "scene.hold", id="4", caller="unknown", args={"lease_s": 60.0})
    assert scenes(hands, 1400) == [(BRIGHT.name, "auto", EPOCH_MS + 61_000)]
    hands.foreign_scene("porch", when(1500).stamp.monotonic_ns)
    assert scenes(hands, 1500) == [(BRIGHT.name, "foreign", EPOCH_MS + 61_000)]


def test_in_safe_mode_nobody_has_chosen_the_scene():
    assert scenes(new_hands(scenes=False), 1) == [(BRIGHT.name, "safe", None)]


def test_hold_leaves_the_k1s_alone_and_release_gives_them_back(hands):
    answer(hands, "scene.hold")
    assert hands.look(BRIGHT) is None
    assert answer(hands, "override.release", id="2")["data"] == {"released": True}
    assert hands.look(BRIGHT) is BRIGHT
    assert answer(hands, "override.release", id="3")["data"] == {"released": False}


def test_everyone_sees_who_holds_the_light_and_until_when(hands):
    (told,) = (json.loads(p.payload) for p in hands.process(when(1)))
    assert told["active"] is False, "the broker may still keep what another process held"
    assert list(hands.process(when(2))) == []
    answer(hands, "scene.hold", args={"lease_s": 8.0})
    (held,) = (json.loads(p.payload) for p in hands.process(when(100)))
    assert (held["active"], held["owner"], held["scope"]) == (True, "alice", "scene")
    assert held["expires_at_ms"] == EPOCH_MS + 1000 + 8000
    assert list(hands.process(when(101))) == []
    (free,) = (json.loads(p.payload) for p in hands.process(when(1000)))
    assert free["active"] is False


def test_until_when_somebody_holds_is_told_anew_when_the_wall_clock_has_stepped(hands):
    answer(hands, "scene.hold", args={"lease_s": 8.0})
    list(hands.process(when(100)))
    assert scenes(hands, 100) == [(BRIGHT.name, "auto", EPOCH_MS + 9000)]
    hands.clock_stepped()
    later = at(200)._replace(ts_ms=at(200).ts_ms + 86_400_000)
    (held,) = (json.loads(p.payload) for p in hands.process(Situation(later)))
    (scene,) = (json.loads(p.payload) for p in hands.scene(later, BRIGHT))
    assert held["expires_at_ms"] == scene["held_until_ms"] == EPOCH_MS + 9000 + 86_400_000


def test_a_hand_that_turns_a_knob_is_told_twice_a_second(hands):
    told = []
    for hop in range(300):
        if hop % 10 == 0:
            hands.foreign_scene("porch", at(hop).monotonic_ns)
        told += [json.loads(p.payload) for p in hands.process(when(hop))]
    assert len(told) == 6
    told += [json.loads(p.payload) for hop in range(300, 1200) for p in hands.process(when(hop))]
    assert [each["active"] for each in told] == [True] * 7 + [False]
    assert told[-2]["expires_at_ms"] == EPOCH_MS + 2900 + 8000, "the last word"


def test_a_scene_set_by_someone_else_holds_the_edge_off_for_eight_seconds(hands):
    hands.foreign_scene("porch", at(100).monotonic_ns)
    assert hands.look(BRIGHT) is None
    list(hands.process(when(899)))
    assert hands.look(BRIGHT) is None
    list(hands.process(when(900)))
    assert hands.look(BRIGHT) is BRIGHT


@pytest.mark.parametrize(("verb", "args", "asked"), [
    ("tempo.double", {}, ("double",)),
    ("tempo.halve", {}, ("halve",)),
    ("beat.nudge", {"ms": -12.5}, ("nudge", -12.5)),
    ("beat.this_is_one", {"at_ms": EPOCH_MS + 500.0}, ("this_is_one", 24_000)),
    ("beat.this_is_one", {}, ("this_is_one", 48_000)),
    ("tempo.tap", {"at_ms": EPOCH_MS + 500.0}, ("tap", 24_000)),
    ("tempo.tap", {}, ("tap", 48_000)),
])  # fmt: skip
def test_corrections_reach_the_tracker(hands, tracker, verb, args, asked):
    assert answer(hands, verb, now=when(100, tracker), args=args)["result"] == "ok"
    assert tracker.asked == [asked]


@pytest.mark.parametrize("verb", ["tempo.tap", "beat.this_is_one"])
@pytest.mark.parametrize("off_ms", [-11_000.0, 11_000.0])
def test_a_moment_told_by_a_wrong_clock_is_refused(hands, tracker, verb, off_ms):
    said = answer(hands, verb, now=when(100, tracker), args={"at_ms": EPOCH_MS + 1000 + off_ms})
    assert (said["code"], tracker.asked) == ("INVALID_REQUEST", [])
    assert "11 s" in said["reason"]


def test_a_scene_set_by_someone_else_shortens_no_hold(hands):
    answer(hands, "scene.apply", args={"pattern": "bloom", "lease_s": 3600.0})
    hands.foreign_scene("porch", at(100).monotonic_ns)
    list(hands.process(when(100_000)))
    assert hands.look(BRIGHT) is None
    assert hands.override.owner == "alice"
    list(hands.process(when(360_100)))
    assert hands.look(BRIGHT) is BRIGHT


def test_a_scene_set_by_someone_else_near_the_end_of_a_hold_has_its_eight_seconds(hands):
    answer(hands, "scene.hold", args={"lease_s": 3.0})
    hands.foreign_scene("porch", at(350).monotonic_ns)
    list(hands.process(when(1149)))
    assert hands.look(BRIGHT) is None
    list(hands.process(when(1150)))
    assert hands.look(BRIGHT) is BRIGHT


def test_who_asks_again_when_there_is_audio_is_not_told_that_there_is_none(hands):
    assert answer(hands, "tempo.halve")["code"] == "NOT_READY"
    assert answer(hands, "tempo.halve", now=when(200, Tracker()))["result"] == "ok"


def test_a_verb_of_a_library_that_is_off_is_answered_under_its_name(hands):
    (answered, *_) = ask(hands, "track.list")
    assert answered.topic.endswith("/response/track.list")
    assert json.loads(answered.payload)["code"] == "NOT_READY"


@pytest.mark.parametrize("topic", ["answers/#", "a/+/b", "a\0b", "a/" * 201, "x" * 60_000])
def test_no_answer_goes_where_a_broker_would_hang_up(hands, topic):
    assert {p.topic for p in ask(hands, "scene.hold", reply_to=topic) if not p.topic.startswith("k1/")} == set()


@pytest.mark.parametrize("verb", ["tempo.double", "tempo.halve", "beat.this_is_one"])
def test_what_could_not_be_done_is_not_said_to_be(hands, verb):
    said = answer(hands, verb, now=when(100, Tracker(acts=False)))
    assert (said["result"], said["code"]) == ("rejected", "NOT_READY")
    assert hands.override is None


def test_a_correction_is_leased_for_eight_seconds_and_leaves_the_scenes_to_the_edge(hands):
    said = answer(hands, "tempo.halve", now=when(100, Tracker()))
    assert said["data"] == {"expires_at_ms": EPOCH_MS + 1000 + 8000}
    assert hands.look(BRIGHT) is BRIGHT
    (held,) = (json.loads(p.payload) for p in hands.process(when(100)))
    assert (held["active"], held["owner"], held["scope"]) == (True, "alice", "tempo")
    (free,) = (json.loads(p.payload) for p in hands.process(when(900)))
    assert free["active"] is False


def test_a_correction_does_not_take_the_scenes_from_who_holds_them(hands):
    answer(hands, "scene.apply", args={"pattern": "bloom"}, caller="bob")
    answer(hands, "beat.nudge", now=when(200, Tracker()), args={"ms": 5.0}, id="2")
    assert hands.override.owner == "bob"
    assert hands.look(BRIGHT).pattern == "bloom"


def test_giving_back_a_scene_does_not_undo_a_correction(hands, tracker):
    answer(hands, "tempo.halve", now=when(100, tracker))
    answer(hands, "scene.hold", now=when(110, tracker), id="2")
    assert answer(hands, "override.release", now=when(120, tracker), id="3")["data"] == {"released": True}
    assert tracker.asked == [("halve",)]


def test_release_takes_a_persons_hand_off_the_beat(hands, tracker):
    answer(hands, "tempo.double", now=when(100, tracker))
    assert answer(hands, "override.release", now=when(150, tracker), id="2")["data"] == {"released": True}
    assert tracker.asked == [("double",), ("release",)]


def test_without_audio_there_is_nothing_to_correct(hands):
    said = answer(hands, "tempo.double")
    assert (said["result"], said["code"]) == ("rejected", "NOT_READY")


def test_who_asks_for_a_recording_where_there_is_none_is_told_both_reasons(hands):
    said = answer(hands, "recorder.save")
    assert (said["result"], said["code"]) == ("rejected", "NOT_READY")
    assert "minutes" in said["reason"] and "bar_pointer" in said["reason"]


def test_the_same_request_twice_is_done_once_and_answered_twice(hands, tracker):
    first = ask(hands, "tempo.double", now=when(100, tracker))
    second = ask(hands, "tempo.double", now=when(110, tracker))
    assert len(tracker.asked) == 1
    assert second == first[:1]


def test_the_same_id_from_another_caller_is_another_request(hands, tracker):
    ask(hands, "tempo.double", now=when(100, tracker))
    ask(hands, "tempo.double", now=when(100, tracker), caller="bob")
    assert len(tracker.asked) == 2


@pytest.mark.parametrize(("hop", "fields"), [
    (3100, {}),
    (110, {"args": {"pattern": "lava"}}),
])  # fmt: skip
def test_an_id_that_is_used_again_for_something_else_or_much_later_is_another_request(hands, hop, fields):
    apply = {"args": {"pattern": "bloom"}}
    answer(hands, "scene.apply", **apply)
    again = answer(hands, "scene.apply", now=when(hop), **apply | fields)
    assert again["data"]["expires_at_ms"] == EPOCH_MS + hop * 10 + 8000


def test_an_id_that_is_used_again_for_another_verb_is_another_request(hands):
    answer(hands, "scene.hold")
    assert answer(hands, "override.release")["data"] == {"released": True}


def test_an_expired_request_is_refused(hands):
    assert answer(hands, "scene.hold", expires_at_ms=EPOCH_MS + 999.0)["code"] == "EXPIRED"
    assert hands.look(BRIGHT) is BRIGHT


def test_a_hundred_requests_a_minute_are_answered_and_the_next_is_not(hands):
    said = [answer(hands, "scene.hold", id=str(i))["result"] for i in range(101)]
    assert said.count("ok") == 100
    assert said[-1] == "rejected"
    assert hands._desk.rejected == {"RATE_LIMIT_EXCEEDED": 1}
    assert answer(hands, "scene.hold", caller="bob")["result"] == "ok"


@pytest.mark.parametrize(("args", "says"), [
    ({"pattern": "blom"}, "bloom"),
    ({"pattern": "bloom", "palette": 99}, "palette"),
    ({"pattern": "bloom", "lease_s": -1}, "lease_s"),
    ({"pattern": "bloom", "parameters": {"palette_id": 24}}, "with `palette`"),
    ({}, "pattern"),
])  # fmt: skip
def test_a_scene_that_no_k1_has_is_refused_with_the_reason(hands, args, says):
    said = answer(hands, "scene.apply", args=args)
    assert said["code"] == "INVALID_REQUEST"
    assert says in said["reason"]


def test_parameters_beyond_the_range_are_clamped_and_the_caller_is_told(hands):
    said = answer(hands, "scene.apply", args={"pattern": "bloom", "parameters": {"brightness": 9.0}})
    assert said["data"]["clamped"] == 1
    assert dict(hands.look(BRIGHT).parameters) == {"brightness": 1.0}


def test_what_was_done_is_on_record(hands):
    _, audit = ask(hands, "scene.hold")
    assert audit.topic.endswith("event/override")
    assert json.loads(audit.payload)["data"] == {"verb": "scene.hold", "caller": "alice", "id": "1"}


@pytest.mark.parametrize(("verb", "fields"), [
    ("tempo.double", {}), ("scene.apply", {"args": {"pattern": "bloom"}, "expires_at_ms": 5.0}),
])
def test_what_was_refused_is_not_on_record_as_done(hands, verb, fields):
    assert [each.topic.rpartition("/")[2] for each in ask(hands, verb, **fields)] == [verb], "the refusal, and no event"


def test_the_answer_goes_to_the_response_topic_too(hands):
    sent = ask(hands, "scene.hold", reply_to="apps/alice/inbox")
    (copy,) = (p for p in sent if p.topic == "apps/alice/inbox")
    assert copy.payload == sent[0].payload
    assert copy.correlation == b"42"


def test_who_asks_in_a_way_nobody_understands_is_told_where_the_answer_was_wanted(hands):
    reply_to = ReplyTo("apps/alice/inbox", b"42")
    refusal, copy = hands.request("k1/v1/hall/edge/pi/request/scene.hold", b"{", reply_to, when())
    assert (copy.topic, copy.correlation, copy.payload) == (*reply_to, refusal.payload)
    assert json.loads(copy.payload)["code"] == "INVALID_REQUEST"


def test_a_refusal_is_in_the_contract_whatever_the_caller_wrote(hands):
    args = {"pattern": "bloom", "parameters": {"\x1b[2J": 1}}
    assert answer(hands, "scene.apply", args=args)["code"] == "INVALID_REQUEST", "`ask` could read it"


@pytest.mark.parametrize(("verb", "more"), [
    ("scene.aply", {}),
    ("beat.nudge", {"args": {"ms": 9999}}),
    ("beat.nudge", {"args": {"ms": 1}, "note": "y" * 20_000}),
])  # fmt: skip
def test_who_is_refused_is_named_in_the_refusal(hands, verb, more):
    payload = json.dumps({"id": "7", "caller": "alice"} | more).encode()[: REQUEST_LIMIT_BYTES + 1]
    (refusal,) = hands.request(f"k1/v1/hall/edge/pi/request/{verb}", payload, ReplyTo(), when())
    said = contract.decode(refusal.topic, refusal.payload)
    assert (said.id, said.caller) == ("7", "alice")


def test_a_name_that_the_contract_does_not_know_is_not_repeated(hands):
    (refusal,) = hands.request("k1/v1/hall/edge/pi/request/x", rb'{"id":" ","caller":"a\u001b[2J"}', ReplyTo(), when())
    said = contract.decode(refusal.topic, refusal.payload)
    assert (said.id, said.caller) == ("", "")


def test_a_response_topic_can_not_be_used_to_steer_a_k1(hands):
    sent = ask(hands, "scene.hold", reply_to="k1/v1/hall/device/porch/cmd/scene")
    assert all("/device/" not in p.topic for p in sent)


KEYS = st.sampled_from(["id", "caller", "args", "ms", "pattern", "expires_at_ms"])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from([*contract.VERBS, "format.disk", "", "+", "scene.apply/x"]), payload=st.one_of(
    st.binary(max_size=200),
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
                 lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner))
    .map(lambda value: json.dumps(value).encode()),
))  # fmt: skip
def test_whatever_is_asked_there_is_an_answer_and_no_harm(hands, verb, payload):
    sent = list(hands.request(f"k1/v1/hall/edge/pi/request/{verb}", payload, ReplyTo(), when()))
    assert sent
    assert json.loads(sent[0].payload)["result"] in ("ok", "rejected")
