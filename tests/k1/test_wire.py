"""Topics and bytes: what is written is what is read, and nothing that is not finite or too long leaves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.config.settings import slug
from k1edge.device_facts import PARAMETERS
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Message, Scribe, Stamp
from k1edge.k1.contract.schema import MESSAGES
from tests.k1.examples import EXAMPLES

STAMP = Stamp(1_700_000_000_000, True)
BEAT = {"number": 7, "bpm": 128.0, "due_in_ms": 150.0, "due_at_ms": 1.7e12, "confidence": 0.9}


@pytest.fixture
def scribe():
    return Scribe("club", "pi-1")


def refusal(call, *args, **fields) -> ContractError:
    with pytest.raises(ContractError) as refused:
        call(*args, **fields)
    return refused.value


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.__name__)
def test_every_message_survives_the_wire(model):
    message = model(**EXAMPLES[model])
    topic = contract.topic(message, "club", "pi-1")
    assert contract.decode(topic, contract.encode(message)) == message


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.__name__)
def test_topics_hold_nothing_but_their_levels(model):
    topic = contract.topic(model(**EXAMPLES[model]), "club", "pi-1")
    where = contract.address(topic)
    assert topic.startswith("k1/v1/club/")
    assert (where.site, where.node) == ("club", "pi-1")
    assert where.model is model
    assert "{" not in topic and "+" not in topic


def test_what_no_message_has_cannot_be_said_of_one():
    with pytest.raises(TypeError, match="a message has no 'retian'"):
        class Slip(Message, leaf="slip", retian=True):
            """Would not be retained."""


@pytest.mark.parametrize("model", [m for m in MESSAGES if m.DIRECTION == "to-device"], ids=lambda model: model.__name__)
def test_a_message_to_a_k1_stays_under_one_kilobyte(model):
    assert len(contract.encode(model(**EXAMPLES[model]))) < 1024


def test_a_scene_with_all_parameters_fits_a_k1(scribe):
    parameters, _ = contract.parameters.clamp({name: limits.high / 3 for name, limits in PARAMETERS.items()})
    assert set(parameters) == set(PARAMETERS)
    scene = scribe.write_to(
        "k1-a", contract.SceneCommand, STAMP, id="x" * 64, sender="e" * 64, pattern="interference_scanner", palette_id=32,
        parameters=parameters, transition="kaleidoscope", transition_ms=10_000, expires_at_ms=1.7e12,
    )  # fmt: skip
    assert len(scene.payload) < 1024


def test_what_is_too_long_for_a_k1_does_not_leave(scribe):
    assert refusal(scribe.write_to, "k1-a", contract.BeatCommand, STAMP, **BEAT, id="x" * 1000).code == "TOO_LARGE"


def test_a_request_of_more_than_16_kb_is_refused_unread():
    request = b'{"id":"a"}'.ljust(16_385)
    assert refusal(contract.decode, "k1/v1/club/edge/pi-1/request/tempo.double", request).code == "TOO_LARGE"


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_a_number_that_is_not_finite_never_leaves(scribe, nothing):
    for fields in ({"cpu_pct": nothing}, {"extra": {"deep": nothing}}, {"errors": {"A": nothing}}):
        assert refusal(scribe.write, contract.Telemetry, STAMP, **fields).code == "NOT_FINITE"
    with pytest.raises(ContractError):
        scribe.write(contract.Frame, STAMP, bands=(1.0, nothing))


def test_a_word_that_reads_nan_is_only_a_word(scribe):
    written = scribe.write(contract.Event, STAMP, kind="section", reason="NaN is not Infinity")
    assert contract.decode(written.topic, written.payload).reason == "NaN is not Infinity"


def test_numpy_numbers_are_written_as_numbers(scribe):
    written = scribe.write(contract.Telemetry, STAMP, cpu_pct=np.float32(1.5), unsent=np.int64(3))
    said = json.loads(written.payload)
    assert (said["cpu_pct"], said["unsent"]) == (1.5, 3)


@pytest.mark.parametrize("model", [m for m in MESSAGES if m.DIRECTION in ("edge-out", "to-device")], ids=lambda m: m.__name__)
def test_a_field_keeps_its_type_where_its_number_happens_to_be_whole(model):
    whole = {name: int(value) if isinstance(value, float) else value for name, value in EXAMPLES[model].items()}
    messages = model.model_construct(**whole), model(**EXAMPLES[model])
    written, usual = (json.loads(contract.encode(message)) for message in messages)
    assert {name: type(value) for name, value in written.items()} == {name: type(value) for name, value in usual.items()}


def test_what_json_cannot_say_is_refused(scribe):
    assert refusal(scribe.write, contract.Event, STAMP, kind="drop", data={"x": object()}).code == "NOT_JSON"


def test_a_field_without_a_source_is_left_out(scribe):
    assert "temp_c" not in json.loads(scribe.write(contract.Telemetry, STAMP, temp_c=None).payload)


def test_seq_rises_by_one_per_topic(scribe):
    beats = [scribe.write_to(k1, contract.BeatCommand, STAMP, **BEAT) for k1 in ("k1-a", "k1-a", "k1-b", "k1-a")]
    assert [json.loads(beat.payload)["seq"] for beat in beats] == [0, 1, 0, 2]


def test_a_message_that_was_refused_leaves_no_gap(scribe):
    scribe.write(contract.Telemetry, STAMP)
    with pytest.raises(ContractError):
        scribe.write(contract.Telemetry, STAMP, cpu_pct=math.nan)
    assert json.loads(scribe.write(contract.Telemetry, STAMP).payload)["seq"] == 1


def test_unknown_keys_are_ignored():
    topic = "k1/v1/club/device/k1-a/status"
    assert contract.decode(topic, b'{"state":"ready","colour":{"new":[1]}}').state == "ready"


@pytest.mark.parametrize(
    ("leaf", "payload", "told"),
    [
        ("request/beat.nudge", b'{"id":"n1","args":{"ms":"5"}}', "args.ms"),
        ("request/beat.nudge", b'{"id":"n1","args":{"ms":501}}', "args.ms"),
        ("request/beat.nudge", b'{"id":"n1"}', "args.ms"),
        ("request/scene.apply", b'{"id":"n1","args":{"pattern":"puls"}}', 'did you mean "pulse"'),
        ("request/scene.apply", b'{"id":"n1","args":{"pattern":"pulse","palette":"Lawa"}}', 'did you mean "Lava"'),
        ("request/scene.apply", b'{"id":"n1","args":{"pattern":"pulse","palette":33}}', "0..32"),
        ("request/scene.apply", b'{"id":"n1","args":{"pattern":"pulse","palette":true}}', "palette"),
        ("request/scene.apply", b'{"id":"n1","args":{"pattern":"pulse","transition":"fad"}}', 'did you mean "fade"'),
        ("request/scene.hold", b'{"id":"n1","args":{"lease_s":0}}', "lease_s"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_keeps_its_id(leaf, payload, told):
    refused = refusal(contract.decode, f"k1/v1/club/edge/pi-1/{leaf}", payload)
    assert refused.code == "INVALID_REQUEST"
    assert refused.request_id == "n1"
    assert told in refused.reason


@pytest.mark.parametrize(("verb", "args"), [
    ("track.get", {"track": "x", "layers": ["colour"]}), ("track.get", {"track": "x", "points": 1_501}),
    ("track.import", {"path": "x", "priority": 11}), ("track.import", {"path": "x", "priority": 0}),
    ("job.list", {"limit": 201}), ("log.tail", {"limit": 201}),
    ("beats.override", {"track": "x", "beats": [1.0] * 2_001}), ("beats.override", {"track": "x", "ops": [{}] * 501}),
])  # fmt: skip
def test_the_library_is_not_asked_for_what_it_does_not_have(verb, args):
    refused = refusal(contract.decode, f"k1/v1/club/edge/pi/request/{verb}", json.dumps({"id": "1", "args": args}).encode())
    assert refused.code == "INVALID_REQUEST"
    assert list(args)[-1] in refused.reason


@pytest.mark.parametrize(("verb", "args", "told"), [
    ("track.list", {"limit": 500}, "args.limit: must be at most 200"),
    ("track.list", {"limit": 1.5}, "args.limit: must be a whole number"),
    ("track.list", {"colour": 1, "pinned": "yes"}, "args.pinned: must be true or false; args.colour: is not known here"),
    ("track.list", {"order": "age"}, "args.order: must be 'updated', 'title', 'artist' or 'bpm'"),
    ("track.get", {}, "args.track: is missing"),
    ("beat.nudge", {"ms": 501.0}, "args.ms: must be at most 500"),
    ("tempo.tap", {"at_ms": 1e15}, "args.at_ms: must be at most 32503680000000"),
    ("scene.apply", {"pattern": "bloom", "palette": 1.5}, "args.palette: must be a whole number or must be text"),
    ("scene.apply", {"pattern": "bloom", "parameters": {"{0}": "x"}}, "args.parameters.{0}: must be a number or must be true"),
    ("beats.override", {"track": "x", "beats": ["{a}"] * 9},
     "args.beats.0: must be a number; args.beats.1: must be a number; args.beats.2: must be a number"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_words_and_of_each_place_once(verb, args, told):
    refused = refusal(contract.decode, f"k1/v1/club/edge/pi/request/{verb}", json.dumps({"id": "1", "args": args}).encode())
    assert refused.reason.startswith(told) and len(refused.reason) < len(told) + 50


def test_what_a_refusal_repeats_of_the_caller_moves_no_cursor():
    body = {"id": "n1", "args": {"pattern": "pulse", "parameters": {"\x1b[2J\u202espeed\n": 1}}}
    refused = refusal(contract.decode, "k1/v1/club/edge/pi-1/request/scene.apply", json.dumps(body).encode())
    assert "speed" in refused.reason
    assert refused.reason.isprintable()


def test_a_palette_may_be_asked_for_by_name():
    payload = b'{"id":"1","args":{"pattern":"pulse","palette":"emerald dragon"}}'
    assert contract.decode("k1/v1/club/edge/pi-1/request/scene.apply", payload).args.palette == 22


def test_the_topic_not_the_payload_decides_the_verb():
    request = contract.decode("k1/v1/club/edge/pi-1/request/tempo.halve", b'{"id":"1","verb":"tempo.double"}')
    assert request.verb == "tempo.halve"


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("k1/v1/club/edge/pi-1/request/lights.off", "UNKNOWN_VERB"),
        ("k1/v2/club/edge/pi-1/status", "UNKNOWN_TOPIC"),
        ("k1/v1/Club/edge/pi-1/status", "UNKNOWN_TOPIC"),
        ("k1/v1/club/edge/pi-1/weather", "UNKNOWN_TOPIC"),
        ("k1/v1/club/edge/pi-1/event/a/b", "UNKNOWN_TOPIC"),
        ("k1/v1/club/gateway/pi-1/status", "UNKNOWN_TOPIC"),
        ("k1/v1/club/device/k1-1\n/status", "UNKNOWN_TOPIC"),
        ("homeassistant/status", "UNKNOWN_TOPIC"),
    ],
)
def test_topics_outside_the_contract_are_named_as_such(topic, code):
    assert refusal(contract.decode, topic, b"{}").code == code


@given(st.text(max_size=300))
def test_a_slug_is_always_a_topic_level(name):
    level = slug(name)
    assert contract.address(f"k1/v1/{level}/edge/{level}/status").node == level


def test_clearing_is_an_empty_retained_message(scribe):
    job = scribe.write(contract.Job, STAMP, id="j1", state="completed")
    clear = scribe.cleared(contract.Job, "j1")
    assert (clear.topic, clear.payload, clear.retain) == (job.topic, b"", True)
    assert job.topic.endswith("/job/j1")


def test_a_topic_that_was_cleared_is_remembered_no_longer(scribe):
    for number in range(50):
        scribe.write(contract.Job, STAMP, id=f"j{number}", state="completed")
        scribe.cleared(contract.Job, f"j{number}")
    again = scribe.write(contract.Job, STAMP, id="j1", state="queued")
    assert contract.decode(again.topic, again.payload).seq == 0
    assert len(scribe._seq) == 1


@given(st.floats(-1e6, 1e6), st.floats(0, 500), st.floats(0, 500), st.floats(0, 50))
def test_the_clock_offset_is_right_within_half_the_round_trip(offset_ms, there_ms, back_ms, thinking_ms):
    sent_ms = 1e9
    received_ms = sent_ms + there_ms + offset_ms
    answered_ms = received_ms + thinking_ms
    pong = contract.Pong.model_construct(sent_ms=sent_ms, received_ms=received_ms, answered_ms=answered_ms)
    estimate_ms, round_trip_ms = contract.clock_offset_ms(pong, answered_ms - offset_ms + back_ms)
    assert round_trip_ms == pytest.approx(there_ms + back_ms, abs=1e-3)
    assert abs(estimate_ms - offset_ms) <= round_trip_ms / 2 + 1e-3
