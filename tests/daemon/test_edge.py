"""One edge in this process, with a link that no broker is at the other end of: what strangers send is heard and survived."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.audio import ABSENT, STALLED, AudioError
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.box import RUNGS
from k1edge.config import Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.daemon.edge import MESSAGES_PER_HOP, PING_EVERY_S, Edge, subscriptions
from k1edge.daemon.health import Health
from k1edge.daemon.lending import Lending
from k1edge.daemon.startup import Start
from k1edge.daemon.watch import Watch
from k1edge.frames import HOP_NS, AudioBlock
from k1edge.genesis.document import seal
from k1edge.genesis.playback import MapPlayer
from k1edge.genesis.score import Score, plain_score, score_of
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Scribe, Stamp, home_assistant
from k1edge.k1.link import Arrival, Identity, Link, LinkCounters, Received
from k1edge.live.guard import DriftGuard
from k1edge.live.roster import Roster
from tests.genesis.songs import song_v4
from tests.k1.hostile import payloads

SITE, EDGE = "hall", "pi"
COUNT = 10_000
HOP_S = 0.010
GONE = AudioError("card", "is gone", "plug it in")


def silence(seconds=1):
    return SynthSource(np.zeros(round(44_100 * seconds), np.float32), 44_100)


def hear_a_hop(edge):
    edge.hear(next(iter(silence())))


def a_second_later(edge):
    """All is told that is told each second."""
    edge._next_second_ns = 0
    edge.attend()


@pytest.fixture
def link(monkeypatch):
    """Never started: what is sent to it is kept, and `deliver` is what its network thread would do."""
    link = Link(Settings().mqtt, Identity("edge"))
    link.sent = []
    monkeypatch.setattr(link, "send", link.sent.append)
    return link


@pytest.fixture
def edge(link, monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return edge_in_silence(link)


def edge_in_silence(link, **audio):
    settings = Settings.model_validate({"site": SITE, "edge": EDGE, "audio": audio, "library": {"enabled": False}})
    edge = Edge(Start(settings), link, Scribe(SITE, EDGE), "boot")
    edge.listen(silence(), "silence")
    return edge


@pytest.mark.usefixtures("edge")
def test_what_the_input_takes_is_taken_off_every_time_that_is_told(link):
    def told_ms(**audio):
        edge = edge_in_silence(link, **audio)
        edge.hear(AudioBlock(np.zeros(441, np.float32), 0, 10**9))
        edge.hear(AudioBlock(np.zeros(441, np.float32), 441, 10**9 + HOP_NS))
        return edge._timeline.utc_ms(44_100)

    assert told_ms() - told_ms(input_latency_ms=80.0) == pytest.approx(80.0, abs=20.0)


def test_an_edge_whose_link_has_died_wants_to_start_anew(edge, monkeypatch):
    assert not edge.restart
    monkeypatch.setattr(Link, "died", True)
    edge.attend()
    assert edge.restart == "because the link to the broker has died"


def limited(link):
    return [json.loads(sent.payload)["data"] for sent in link.sent if sent.topic.endswith("/event/limiter")]


def test_what_the_limiter_has_stopped_is_told_every_ten_seconds_where_there_is_more(edge, link, monkeypatch):
    begun = time.monotonic_ns()
    for second in range(30):
        monkeypatch.setattr(Roster, "stopped", {"beat": 1 + second} if second < 25 else {"beat": 25})
        monkeypatch.setattr(time, "monotonic_ns", lambda second=second: begun + second * 1_000_000_000)
        edge.attend()
    assert limited(link) == [{"beat": 1.0}, {"beat": 11.0}, {"beat": 21.0}]
    list(map(link.send, edge.farewell()))
    assert limited(link)[3:] == [{"beat": 25.0}]


def test_what_the_limiter_stops_while_there_is_no_sound_is_told_too(edge, link, monkeypatch):
    edge.lose_audio(GONE)
    monkeypatch.setattr(Roster, "stopped", {"saturation": 1})
    edge.attend()
    assert limited(link) == [{"saturation": 1.0}]


def topics_of(pattern):
    """Those a stranger could use below one subscription: known ones, unknown ones, and what no sender should."""
    if not pattern.endswith("/+") and "/+/" not in pattern:
        return [pattern]
    names = ["scene.apply", "tempo.tap", "track.search", "no.such"] if "/request/" in pattern else [
        *(f"k1-{number}" for number in range(2 * MAX_DEVICES)), "Ä", "", "x" * 300]
    return [pattern.replace("+", name) for name in names]


def is_refused(topic, payload):
    """Whether the contract says so; of a scene that is another's, only that it came matters."""
    try:
        scene = contract.address(topic).model is contract.SceneCommand
        if payload and not scene:
            contract.decode(topic, payload)
    except ContractError:
        return True
    return False


@pytest.mark.parametrize("pattern", subscriptions(SITE, EDGE))
def test_ten_thousand_hostile_messages_are_answered_or_counted_and_cost_a_share_of_each_hop(edge, link, pattern):
    topics, limit = topics_of(pattern), Identity("edge").payload_limit
    hostile = [(topics[number % len(topics)], raw[: limit + 1]) for number, raw in enumerate(payloads(7, COUNT))]
    link.sent.clear()
    spent_s = []
    for first in range(0, COUNT, MESSAGES_PER_HOP):
        one_too_many = hostile[first : first + MESSAGES_PER_HOP] + hostile[:1]
        for topic, payload in one_too_many:
            link._deliver(Received(topic, payload, Arrival(time.monotonic_ns())))
        began_s = time.thread_time()
        edge.attend()
        spent_s.append(time.thread_time() - began_s)
        assert len(link._inbox) == 1, "a hop takes so many and no more"
        link._inbox.clear()
    usual_s, dearest_s = np.percentile(spent_s, (50, 99))
    assert usual_s < 0.5 * HOP_S
    assert dearest_s < 20 * usual_s, "however slow the machine"
    responses = [json.loads(p.payload) for p in link.sent if "/response/" in p.topic]
    if "/request/" in pattern:
        assert len(responses) == COUNT
        assert all(said["code"] for said in responses if said["result"] != "ok")
        assert any(said["result"] == "rejected" for said in responses)
    else:
        assert not responses
    if "/request/" not in pattern and pattern != home_assistant.BIRTH_TOPIC:
        assert edge.telemetry.rejected_messages == sum(is_refused(*message) for message in hostile)
    assert len(edge._k1s.devices) <= MAX_DEVICES
    hear_a_hop(edge)
    assert edge.telemetry.hops == 1, "the music goes on"


def deliver(edge, link, leaf, body, **arrival):
    link._deliver(Received(f"k1/v1/{SITE}/{leaf}", json.dumps(body).encode(), Arrival(time.monotonic_ns(), **arrival)))
    edge.attend()


def sent(link, leaf):
    """What went out to topics with this end, and is forgotten."""
    found = [json.loads(each.payload) for each in link.sent if each.topic.endswith(leaf)]
    link.sent.clear()
    return found


def telemetry(edge, link):
    edge._next_telemetry_ns = 0
    edge.attend()
    (told,) = sent(link, "/telemetry")
    return told


HOLD = {"id": "1", "caller": "ann", "args": {"lease_s": 60.0}}
APPLY = {"id": "2", "caller": "ann", "args": {"pattern": "bloom", "palette": "Lava"}}
STATUS = {"seq": 0, "ts_ms": 1_700_000_000_000, "state": "ready", "firmware": "1", "capabilities": []}


def test_a_k1_that_repeats_its_status_has_not_begun_anew_and_one_with_another_boot_id_has(edge, link):
    hear_a_hop(edge)
    told = []
    for boot_id in ("b1", "b1", "b2"):
        deliver(edge, link, "device/bar/status", STATUS | {"boot_id": boot_id})
        link.sent.clear()
        hear_a_hop(edge)
        bar = edge._k1s.devices["bar"]
        told.append((len(sent(link, "cmd/sync")), bar.offset_ms))
        bar.offset_ms = 5.0
    assert told == [(1, None), (1, 5.0), (1, None)], "to follow it is told again, which no broker keeps"


def test_what_breaks_the_contract_is_told_with_where_and_why_once_a_minute(edge, link, monkeypatch):
    moments = iter([10**9, 2 * 10**9, 62 * 10**9])
    monkeypatch.setattr(edge, "_now", lambda: Stamp(1_700_000_000_000, True, next(moments)))
    for leaf in ("device/bar/status", "device/bar/status", f"edge/{EDGE}/config/desired"):
        deliver(edge, link, leaf, STATUS | {"ts_ms": 1.5})
    told = sent(link, "event/link")
    where = [f"k1/v1/{SITE}/device/bar/status", f"k1/v1/{SITE}/edge/{EDGE}/config/desired"]
    assert [(each["code"], each["data"]["topic"]) for each in told] == [("INVALID_REQUEST", topic) for topic in where]
    assert told[0]["reason"].startswith("ts_ms: ")
    assert "parent: " in told[1]["reason"]
    assert edge.telemetry.rejected_messages == 3


@pytest.mark.parametrize("connected", [True, False])
def test_no_k1_is_asked_whether_it_is_there_while_nobody_could_answer(edge, link, monkeypatch, connected):
    deliver(edge, link, "device/bar/status", STATUS)
    monkeypatch.setattr(Link, "heard", connected)
    asked = [each for _ in range(PING_EVERY_S) for each in edge._every_second(edge._now()) if each.topic.endswith("ping")]
    assert len(asked) == connected


def test_a_request_that_the_broker_kept_is_not_done_again(edge, link):
    deliver(edge, link, f"edge/{EDGE}/request/scene.hold", HOLD, retained=True)
    assert not [each for each in link.sent if "/response/" in each.topic]
    assert edge._hands.override is None
    deliver(edge, link, f"edge/{EDGE}/request/scene.hold", HOLD)
    assert edge._hands.override.owner == "ann"


def test_a_scene_by_hand_is_shown_without_audio(edge, link):
    deliver(edge, link, "device/porch/status", STATUS)
    edge.lose_audio(GONE)
    sent(link, "")
    deliver(edge, link, f"edge/{EDGE}/request/scene.apply", APPLY)
    assert [scene["pattern"] for scene in sent(link, "device/porch/cmd/scene")] == ["bloom"]


def test_a_parameter_that_is_no_longer_in_the_file_is_taken_back_from_the_k1s_at_the_next_start(edge, link):
    kept = {"sender": EDGE, "pattern": "pulse", "palette_id": 2, "parameters": {"warmth": 0.9}, "expires_at_ms": 4e12}
    deliver(edge, link, "device/porch/status", STATUS, retained=True)
    deliver(edge, link, "device/porch/cmd/scene", kept, retained=True)
    hear_a_hop(edge)
    (scene,) = sent(link, "device/porch/cmd/scene")
    assert scene["parameters"]["warmth"] == 0.0


def test_a_song_that_is_being_caught_ends_where_the_box_gets_hot(edge, monkeypatch):
    told = []
    edge._catcher = SimpleNamespace(song=None, process=lambda *_: told.append("caught"), end=lambda: told.append("ended"))
    edge._lending = SimpleNamespace(recall=lambda _: None)
    blocks = iter(silence())
    edge.hear(next(blocks))
    monkeypatch.setattr(Watch, "mode", RUNGS[1])
    edge.hear(next(blocks))
    assert told == ["caught", "ended"]


def test_another_edge_at_the_site_is_noticed(edge, link):
    deliver(edge, link, f"edge/{EDGE}/status", {"state": "ready"}, retained=True)
    assert edge._watch.health == Health()
    deliver(edge, link, "edge/pi-2/status", {"state": "ready"}, retained=True)
    assert edge._watch.health.code == "TWO_EDGES"


def test_sound_that_is_lost_gives_the_k1s_back_at_once(edge, link):
    deliver(edge, link, "device/porch/status", STATUS)
    hear_a_hop(edge)
    sent(link, "")
    edge.lose_audio(GONE)
    assert [sync["action"] for sync in sent(link, "device/porch/cmd/sync")] == ["stop"]


def test_light_off_the_beat_gives_each_k1_back_and_says_so_once_and_leads_when_it_is_on_it_again(edge, link, monkeypatch):
    hops, off = iter(silence()), [False, True, True, False, False]
    monkeypatch.setattr(DriftGuard, "process", lambda guard, *_: setattr(guard, "off_beat", off.pop(0)))
    for device in ("porch", "bar"):
        deliver(edge, link, f"device/{device}/status", STATUS)
    syncs, events = [], []
    while off:
        link.sent.clear()
        edge.hear(next(hops))
        syncs.append([json.loads(each.payload)["action"] for each in link.sent if each.topic.endswith("/porch/cmd/sync")])
        events.append([json.loads(each.payload) for each in link.sent if each.topic.endswith("/event/auto_rollback")])
    assert syncs == [["start"], ["stop"], [], [], ["start"]]
    assert [len(each) for each in events] == [0, 2, 0, 0, 0]
    assert {event["data"]["device"] for event in events[1]} == {"porch", "bar"}
    assert all("100 ms off the beat" in event["reason"] for event in events[1])


def test_a_card_that_is_back_in_a_silence_is_told(edge, link):
    def told_in_silence():
        source = silence()
        edge.listen(source, "silence")
        edge.hear(next(iter(source)))
        a_second_later(edge)
        return [each["state"] for each in sent(link, "state/audio")]

    assert told_in_silence() == ["silent"]
    edge.lose_audio(GONE)
    assert [each["state"] for each in sent(link, "state/audio")] == ["absent"]
    assert told_in_silence() == ["silent"]


@pytest.mark.parametrize(("url", "insecure"), [
    ("", False), ("mqtt://localhost", False), ("mqtts://10.0.0.2", False), ("mqtt://10.0.0.2", True),
])  # fmt: skip
@pytest.mark.usefixtures("edge")
def test_status_says_that_the_broker_is_neither_on_this_machine_nor_behind_tls(link, url, insecure):
    link.sent.clear()
    settings = {"mqtt": {"url": url, "allow_insecure": True}, "library": {"enabled": False}}
    Edge(Start(Settings.model_validate(settings)), link, Scribe(SITE, EDGE), "boot")
    assert [status["insecure"] for status in sent(link, f"{EDGE}/status")] == [insecure]


@pytest.mark.parametrize(("settings", "caught"), [
    ({}, True), ({"library": {"capture_live": False}}, False), ({"library": {"enabled": False}}, False),
])  # fmt: skip
def test_songs_of_the_line_are_caught_unless_one_key_says_no(link, monkeypatch, tmp_path, settings, caught):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    edge = Edge(Start(Settings.model_validate(settings)), link, Scribe(SITE, EDGE), "boot")
    assert (edge._catcher is not None) is caught


@pytest.mark.parametrize("rate_hz", [0.2, 1.0, 10.0])
def test_health_is_told_as_often_as_is_configured(edge, link, monkeypatch, rate_hz):
    hop, began_ns = 0, time.monotonic_ns()
    clock = SimpleNamespace(time_ns=time.time_ns, monotonic_ns=lambda: began_ns + hop * HOP_NS)
    monkeypatch.setattr("k1edge.daemon.edge.time", clock)
    monkeypatch.setattr(edge, "_settings", Settings.model_validate({"telemetry": {"rate_hz": rate_hz}}))
    for hop in range(1000):  # noqa: B007
        edge.attend()
    assert len(sent(link, "/telemetry")) == 10 * rate_hz


def test_a_dead_cable_is_an_alarm_with_a_remedy_until_there_is_sound_again(edge, link, monkeypatch):
    number, wall_ns, monotonic_ns = 0, time.time_ns(), time.monotonic_ns()

    def since(began_ns):  # at the pace of the sound, however fast the machine is
        return lambda: began_ns + number * 10_000_000

    monkeypatch.setattr("k1edge.daemon.edge.time", SimpleNamespace(time_ns=since(wall_ns), monotonic_ns=since(monotonic_ns)))
    music = four_on_the_floor(125.0, 12.0, 44_100).samples
    source = SynthSource(np.r_[np.zeros(44_100 * 12, np.float32), music], 44_100)
    edge.listen(source, "card")
    for number, block in enumerate(source, start=1):
        edge.hear(block)
        if number % 100 == 0:
            a_second_later(edge)
    codes = [json.loads(p.payload).get("code", "") for p in link.sent if p.topic.endswith("state/audio")]
    alarms = sent(link, "event/alarm")
    assert [(alarm["code"], alarm["severity"]) for alarm in alarms] == [("NO_SIGNAL", "warning"), ("NO_SIGNAL", "info")]
    assert "cable" in alarms[0]["remedy"]
    assert "NO_SIGNAL" in codes[:-1] and not codes[-1]


def test_a_card_that_is_back_ends_all_that_was_said_of_its_absence_and_nothing_else(edge, link, monkeypatch):
    def told():
        return [(alarm["code"], alarm["severity"]) for alarm in sent(link, "event/alarm")]

    def play():
        source = silence(12)
        edge.listen(source, "silence")
        for number, block in enumerate(source, start=1):
            edge.hear(block)
            if number % 100 == 0:
                a_second_later(edge)

    play()
    assert told() == [("NO_SIGNAL", "warning")]
    for error in (AudioError("card", "stands", "wait", STALLED), AudioError("card", "is gone", "plug it in", ABSENT)):
        edge.lose_audio(error)
        a_second_later(edge)
    assert told() == [(STALLED, "alarm"), (ABSENT, "alarm")], "who knows what the line is like"
    play()
    assert told() == [(ABSENT, "info"), (STALLED, "info")], "and the line is as it was"


def test_an_edge_that_goes_takes_back_what_is_no_longer_so(edge, link):
    hear_a_hop(edge)
    deliver(edge, link, f"edge/{EDGE}/request/scene.hold", HOLD)
    a_second_later(edge)
    sent(link, "")
    last = {p.topic.partition(f"/{EDGE}/")[2]: json.loads(p.payload) for p in edge.farewell()}
    assert (last["state/tempo"]["lock"], last["state/section"]["label"]) == (False, "unknown")
    assert last["state/override"]["active"] is False
    assert last["state/scene"]["pattern"] == edge.shown.pattern and "held_until_ms" not in last["state/scene"]
    assert (last["state/audio"]["state"], last["state/audio"]["reason"]) == ("absent", "k1edge has stopped, and nobody listens")
    assert list(last)[-1] == "status" and last["status"]["state"] == "stopping"


def test_an_alarm_ends_with_the_life_that_told_it(edge, link, monkeypatch):
    monkeypatch.setattr(DriftGuard, "is_doubtful", True)
    monkeypatch.setattr(Link, "heard", True)
    deliver(edge, link, "edge/pi-2/status", {"state": "ready"})
    hear_a_hop(edge)
    a_second_later(edge)
    edge.lose_audio(AudioError("card", "is gone", "plug it in", ABSENT))
    told = [alarm for alarm in sent(link, "event/alarm") if alarm["severity"] != "info"]
    assert all(alarm["reason"] and alarm["remedy"] for alarm in told)
    began = {alarm["code"] for alarm in told}
    assert began == {"TWO_EDGES", "CONFIDENCE_LOW", ABSENT}
    alarms = [json.loads(p.payload) for p in edge.farewell() if p.topic.endswith("event/alarm")]
    assert sorted((alarm["code"], alarm["severity"]) for alarm in alarms) == [(code, "info") for code in sorted(began)]


def test_a_start_without_a_card_takes_back_what_the_life_before_has_told(link, monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    settings = Settings.model_validate({"site": SITE, "edge": EDGE, "library": {"enabled": False}})
    edge = Edge(Start(settings), link, Scribe(SITE, EDGE), "boot")
    for _ in range(3):
        edge.lose_audio(AudioError("card", "is not here", "connect it"))
        edge.attend()
    told = [each.topic.partition(f"/{EDGE}/")[2] for each in link.sent]
    assert [told.count(leaf) for leaf in ("state/tempo", "state/section", "info")] == [1, 1, 1]
    assert [info["audio_device"] for info in sent(link, "/info")] == [""]


def test_the_k1s_are_on_the_live_beat_as_soon_as_a_map_that_was_off_leads_no_more(edge):
    hops, pipeline = iter(silence()), edge._pipeline
    beats_ms = [500.0 * n for n in range(64)]
    pipeline.act("deploy", MapPlayer(Score(beats_ms, [], [1.0] * 64, [], []), pipeline.fmt, 150.0, 0))
    edge.hear(next(hops))
    edge._guard.off_beat = True
    edge.hear(next(hops))
    assert edge._guard.off_beat, "while it leads"
    pipeline.act("stop")
    edge.hear(next(hops))
    assert not edge._guard.off_beat


def test_a_map_does_not_lead_without_sound_nor_after_the_life_that_it_led_in(edge, link):
    song = {"verb": "deploy", "track": "a" * 16, "version": 1, "score": plain_score(score_of(seal(song_v4(64, 500.0))))}
    first, second, *_ = silence()
    edge.hear(first)
    name = edge.deploy(song | {"start_at_ms": edge._now().ts_ms - 5000.0})["deployment"]
    edge.hear(second)
    edge.attend()
    edge.lose_audio(GONE)
    edge.attend()
    assert [message["state"] for message in sent(link, f"/deploy/{name}")] == ["leading", "over"]
    deliver(edge, link, f"edge/{EDGE}/deploy/deploy-0", {"of": "another version of the contract"}, retained=True)
    deliver(edge, link, f"edge/{EDGE}/deploy/{name}", {}, retained=True)
    told = [(each.topic.rpartition("/")[2], each.payload) for each in link.sent if "/deploy/" in each.topic]
    assert told == [("deploy-0", b"")]


def test_what_was_lost_is_counted_over_all_openings_of_the_card(edge, link):
    for lost, overflows in ((480, 1), (960, 2)):
        source = silence()
        source.lost_samples, source.overflows = lost, overflows
        edge.lose_audio(GONE)
        edge.listen(source, "card")
        edge.hear(next(iter(source)))
    told = telemetry(edge, link)
    assert (told["audio_lost_samples"], told["audio_overflows"], told["audio_reopened"]) == (1440, 3, 2)


def test_telemetry_says_what_each_part_has_counted(edge, link, monkeypatch):
    link.counters = LinkCounters(sent=11, received=12, dropped_inbox=13, connects=15)
    link._dropped_live, link._dropped_durable = 16, 17
    link._posted.extend(["k1/forgotten"] * 18)
    monkeypatch.setattr(Link, "connected", True)
    deliver(edge, link, "device/porch/status", STATUS)
    edge._driver.clamped = 21
    edge._publisher.beats = 24
    for block in SynthSource(four_on_the_floor(125.0, 4.0, 44_100).samples, 44_100):
        edge.hear(block)
    edge._k1s.devices["porch"].round_trip_ms, edge._guard.drift_ms = 22.0, -23.0
    link.sent.clear()
    told = telemetry(edge, link)
    heard = edge._frame
    counted = {
        "mqtt_sent": 11, "mqtt_received": 12, "mqtt_dropped_inbox": 13, "mqtt_reconnects": 14, "mqtt_dropped_live": 16,
        "mqtt_dropped_durable": 17, "unsent": 18, "mqtt_connected": True, "devices_ready": 1, "clamped_parameters": 21,
        "device_round_trip_ms_max": 22.0, "drift_ms": -23.0, "hops": 400, "section": heard.section.label,
        "input_level_dbfs": round(heard.features.level_dbfs, 1), "beat_confidence": round(heard.beat.confidence, 3),
        "noise_floor_dbfs": round(heard.features.noise_floor_dbfs, 1), "bpm": round(heard.beat.tempo_bpm, 2),
    }  # fmt: skip
    assert told | counted == told
    assert heard.beat.confidence > 0.5 and -40 < heard.features.level_dbfs < 0
    assert told["beats_announced"] > 24 and told["announce_lead_ms_p50"] == edge._publisher.lead_ms
    assert set(contract.Telemetry.model_fields) - set(told) <= {"temp_c"}, "each has a source, but where a machine has none"


def test_requests_to_the_library_are_among_those_counted(edge, link):
    edge._lending = Lending(SimpleNamespace(ask=lambda *_: False, heard=lambda: iter(())), edge._scribe, edge._desk, edge)
    for verb in ("scene.hold", "scene.apply", "track.list"):
        deliver(edge, link, f"edge/{EDGE}/request/{verb}", {"id": verb, "caller": "ann", "args": {}})
    sent(link, "")
    told = telemetry(edge, link)
    assert (told["requests_ok"], told["requests_rejected"], told["errors"]) == (1, 2, {"INVALID_REQUEST": 1, "NOT_READY": 1})


def test_a_caller_has_one_limit_for_the_light_and_the_library(edge, link):
    edge._lending = Lending(SimpleNamespace(ask=lambda *_: False, heard=lambda: iter(())), edge._scribe, edge._desk, edge)
    for number in range(101):
        verb = "track.list" if number % 2 else "scene.hold"
        deliver(edge, link, f"edge/{EDGE}/request/{verb}", {"id": str(number), "caller": "ann", "args": {}})
    assert edge._desk.rejected["RATE_LIMIT_EXCEEDED"] == 1


@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_a_process_that_was_held_up_says_so_and_does_not_blame_the_card(edge, link, seconds):
    source = silence(4)
    edge.listen(source, "card")
    for number, block in enumerate(source):
        source.skipped_samples = round(seconds * 44_100) * (number >= 150)
        edge.hear(replace(block, start=block.start + source.skipped_samples))
        if number % 100 == 50:
            a_second_later(edge)
    assert [alarm["code"] for alarm in sent(link, "event/alarm")] == ["HELD_UP"]


def test_without_a_card_no_beat_is_put_right_that_nobody_hears(edge, link):
    edge.lose_audio(GONE)
    deliver(edge, link, f"edge/{EDGE}/request/tempo.tap", {"id": "1", "caller": "ann", "args": {}})
    (answer,) = sent(link, "response/tempo.tap")
    assert (answer["result"], answer["code"]) == ("rejected", "NOT_READY")


def test_a_scene_is_told_when_it_is_shown_and_not_before(edge, link, monkeypatch):
    now_ns = time.monotonic_ns()
    monkeypatch.setattr(edge, "_now", lambda: Stamp(1_700_000_000_000, True, now_ns))
    asked = {100: {"pattern": "bloom", "lease_s": 60.0}, 110: {"pattern": "lava", "lease_s": 2.0}}
    told = []
    for hop, block in zip(range(500), silence(6), strict=False):
        edge.hear(block)
        if hop in asked:
            deliver(edge, link, f"edge/{EDGE}/request/scene.apply", {"id": str(hop), "caller": "ann", "args": asked[hop]})
        edge.attend()
        told += [(each["pattern"], each["origin"], "held_until_ms" in each) for each in sent(link, "state/scene")]
        now_ns += HOP_NS
    own = told[0][0]
    assert told == [(own, "auto", False), ("bloom", "request", True), ("lava", "request", True), (own, "auto", False)]


def test_a_k1_that_joins_without_audio_gets_the_scene_that_is_held(edge, link):
    edge.lose_audio(GONE)
    deliver(edge, link, f"edge/{EDGE}/request/scene.apply", APPLY)
    sent(link, "")
    deliver(edge, link, "device/porch/status", STATUS)
    edge.attend()
    assert [scene["pattern"] for scene in sent(link, "device/porch/cmd/scene")] == ["bloom"]


def test_who_joins_is_in_the_introduction(edge, link):
    assert [info["devices"] for info in sent(link, "/info")] == [[]]
    deliver(edge, link, "device/porch/status", STATUS)
    hear_a_hop(edge)
    a_second_later(edge)
    assert [info["devices"] for info in sent(link, "/info")] == [["porch"]]


def test_a_scene_that_somebody_else_has_set_is_not_ours_to_send_again(edge, link, monkeypatch):
    forgotten = []
    monkeypatch.setattr(link, "forget", forgotten.append)
    deliver(edge, link, "device/porch/status", STATUS)
    deliver(edge, link, "device/porch/cmd/scene", {"pattern": "lava", "sender": EDGE})
    assert not forgotten and edge._hands.override is None
    deliver(edge, link, "device/porch/cmd/scene", {"pattern": "lava"})
    assert forgotten == [f"k1/v1/{SITE}/device/porch/cmd/scene"]
    assert edge._hands.override.owner == "unknown"
