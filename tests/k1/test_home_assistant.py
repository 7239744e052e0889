"""What Home Assistant is told: its own schema is met, its templates read our messages, its controls make requests we take."""

import datetime
import json
import re

import jinja2
import pytest

from k1edge.config import Settings
from k1edge.daemon.edge import Edge, subscriptions
from k1edge.daemon.startup import Start
from k1edge.device_facts import PATTERNS
from k1edge.frames import SECTION_LABELS, Look
from k1edge.k1 import contract
from k1edge.k1.contract import CORRECTED, Scribe, Stamp, home_assistant
from k1edge.k1.link import Identity, Link
from k1edge.live.desk import Desk, ReplyTo
from k1edge.live.hands import Hands, Situation
from tests.brokers import eventually
from tests.end_to_end.daemon import Ear

PALETTES = {"bloom": 2, "pulse": 29}
CHOREOGRAPHED = Look("chorus", "bloom", 2, (), "fade", 800)
NOW = Stamp(1_790_000_000_000, True, 5_000_000_000)


@pytest.fixture
def told():
    return home_assistant.discovery("hall", "pi", "1.2", PALETTES)


@pytest.fixture
def payload(told):
    return json.loads(told.payload)


@pytest.fixture
def hands():
    scribe = Scribe("hall", "pi")
    return Hands(scribe, Desk(scribe))


def rendered(template: str, **values: object) -> str:
    """As Home Assistant renders it, which lends `now` to every template."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    return environment.from_string(template).render(now=datetime.datetime.now, **values)


def read(component: dict, message: contract.Message) -> str:
    """The state that a component shows after a message of ours."""
    return rendered(component["value_template"], value_json=json.loads(contract.encode(message)))


def test_one_retained_message_describes_the_device(told, payload):
    assert told.topic == "homeassistant/device/k1edge-hall-pi/config"
    assert re.fullmatch(r"homeassistant/device/[A-Za-z0-9_-]+/config", told.topic)
    assert (told.qos, told.retain) == (1, True)
    assert payload["origin"]["name"] == "k1edge"
    assert payload["device"]["identifiers"] == ["k1edge-hall-pi"]
    assert set(payload) <= {"device", "origin", "components", "availability"}, "what components are given from the top"


def test_every_component_names_its_platform_and_is_unique_to_this_edge(payload):
    ids = [component["unique_id"] for component in payload["components"].values()]
    assert len(set(ids)) == len(ids)
    assert all(each.startswith("k1edge-hall-pi-") for each in ids)
    platforms = {component["platform"] for component in payload["components"].values()}
    assert platforms == {"sensor", "switch", "select"}


def test_every_component_asks_for_qos_1_itself(payload):
    assert {component.get("qos") for component in payload["components"].values()} == {1}


def test_every_topic_is_one_of_the_contract(payload):
    for component in payload["components"].values():
        for key in ("state_topic", "command_topic", "json_attributes_topic"):
            if key in component:
                where = contract.address(component[key])
                assert (where.site, where.role, where.node) == ("hall", "edge", "pi")


@pytest.mark.parametrize(
    ("state", "there"),
    [("init", "offline"), ("ready", "online"), ("degraded", "online"), ("stopping", "offline"), ("lost", "offline")],
)
def test_an_edge_is_there_once_it_says_what_is_so_and_until_it_leaves(payload, state, there):
    (availability,) = payload["availability"]
    assert contract.address(availability["topic"]).model is contract.Status
    assert read(availability, contract.Status(state=state)) == there
    assert state in payload["components"]["health"]["options"]


def test_the_sensors_show_what_our_messages_say(payload):
    components = payload["components"]
    tempo = contract.TempoState(bpm=123.56, confidence=0.876, lock=True)
    assert read(components["bpm"], tempo) == "124"
    assert read(components["confidence"], tempo) == "90"
    lost = contract.TempoState(bpm=124.0, confidence=0.02, lock=False)
    assert read(components["bpm"], lost) == "None", "Home Assistant's word for not known: the tempo of a silence is none"
    section = contract.SectionState(index=1, label="drop", since_ms=0, confidence=1, provisional=False)
    assert read(components["section"], section) == "drop"
    status = contract.Status(state="degraded", code="AUDIO_LOST", reason='the "CODEC" is gone')
    assert read(components["health"], status) == "degraded"
    attributes = rendered(components["health"]["json_attributes_template"], value_json=json.loads(contract.encode(status)))
    assert json.loads(attributes) == {"code": "AUDIO_LOST", "reason": 'the "CODEC" is gone'}


def test_a_section_that_is_not_known_yet_is_a_state_of_its_own(payload):
    sensor = payload["components"]["section"]
    unsure = {"index": 1, "since_ms": 0, "confidence": 0, "provisional": True}
    shown = [read(sensor, contract.SectionState(label=label, **unsure)) for label in SECTION_LABELS]
    assert shown == sensor["options"]
    assert not {"unknown", "unavailable"} & set(sensor["options"]), "Home Assistant's words for no state"


def test_what_changes_all_the_time_is_recorded_in_steps_that_matter(payload):
    heard = [contract.TempoState(bpm=127.6 + i / 20, confidence=0.87 + i / 300, lock=True) for i in range(12)]
    for name in ("bpm", "confidence"):
        assert len({read(payload["components"][name], tempo) for tempo in heard}) == 1, name


def pressed(component: dict, value: str, hands: Hands) -> dict:
    """What the edge answers when a control is set."""
    request = rendered(component["command_template"], value=value).encode()
    answer, *_ = hands.request(component["command_topic"], request, ReplyTo(), Situation(NOW))
    return json.loads(answer.payload)


@pytest.mark.parametrize("scope", CORRECTED)
def test_the_switch_does_not_move_when_somebody_puts_the_beat_right(payload, scope):
    corrected = {"active": True, "owner": "alice", "scope": scope}
    assert rendered(payload["components"]["hold"]["value_template"], value_json=corrected) == "OFF"


def test_the_switch_holds_and_lets_go(payload, hands):
    hold = payload["components"]["hold"]
    assert pressed(hold, "ON", hands)["result"] == "ok"
    assert hands.look(CHOREOGRAPHED) is None, "hands off"
    (state,) = hands.process(Situation(NOW))
    assert rendered(hold["value_template"], value_json=json.loads(state.payload)) == "ON"
    pressed(payload["components"]["scene"], "pulse", hands)
    soon, later = (NOW._replace(monotonic_ns=NOW.monotonic_ns + ms * 1_000_000) for ms in (500, 1000))
    assert list(hands.process(Situation(soon))), "someone else's scene is held"
    assert pressed(hold, "OFF", hands)["result"] == "ok"
    (state,) = hands.process(Situation(later))
    assert rendered(hold["value_template"], value_json=json.loads(state.payload)) == "OFF"
    assert hands.look(CHOREOGRAPHED) is CHOREOGRAPHED


@pytest.mark.parametrize(("pattern", "palette"), [("pulse", 29), ("bloom", 2), ("lava", 2)])
def test_the_select_shows_any_pattern_in_its_palette(payload, hands, pattern, palette):
    scene = payload["components"]["scene"]
    assert scene["options"] == list(PATTERNS)
    assert pressed(scene, pattern, hands)["result"] == "ok"
    assert (hands.look(CHOREOGRAPHED).pattern, hands.look(CHOREOGRAPHED).palette) == (pattern, palette)
    shown = contract.SceneState(look="request", pattern=pattern, palette_id=palette)
    assert read(scene, shown) == pattern


def test_home_assistant_is_told_at_once_and_again_after_its_birth(mosquitto, tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    settings = Settings.model_validate(
        {"site": "hall", "edge": "pi", "home_assistant": {"discovery": True}, "library": {"enabled": False}})
    link = Link(mosquitto.settings(), Identity("edge", subscriptions("hall", "pi")))
    link.start()
    topic = "homeassistant/device/k1edge-hall-pi/config"
    with Ear(mosquitto.settings(), "homeassistant/#") as ear:
        edge = Edge(Start(settings), link, Scribe("hall", "pi"), "boot")
        first = ear.await_said(topic)
        usual = {look.pattern for look in settings.looks.values()}
        assert all(f'"{pattern}"' in first["components"]["scene"]["command_template"] for pattern in usual)
        for word in (b"offline", b"online"):
            ear.send(contract.Publication(home_assistant.BIRTH_TOPIC, word, 1))
        eventually(lambda: edge.attend() or len(ear.said(topic)) == 2, "told again, once")
    link.close(edge.farewell())
