"""A configuration that came, by file or over MQTT, is trusted, given back or refused - and the world is told which."""

import json
import threading
import time

import pytest

from k1edge.daemon.startup import begin
from k1edge.daemon.transaction import Transaction
from k1edge.k1 import contract
from k1edge.k1.contract import ConfigDesired, Scribe, Stamp
from k1edge.live.health_gate import Vitals
from k1edge.system import generations
from k1edge.system.generations import Generations, Refusal, digest
from tests.brokers import PATIENCE_S, eventually
from tests.failing import full, raising

GOOD = 'site = "hall"\nedge = "pi"\n[mqtt]\naccept_config = true\n[system]\ngate_s = 5.0\n'
LOUD = "[telemetry]\nrate_hz = 2.0\n"
EPOCH_MS = 1_700_000_000_000


class Edge:
    """One run of the daemon after another, second by second, without the daemon."""

    def __init__(self, folder):
        self.file = folder / "k1edge.toml"
        self.environ = {"STATE_DIRECTORY": str(folder / "state"), "NOTIFY_SOCKET": "x"}
        self.store = Generations(folder / "state", self.file)
        self.said = []
        self.second = self.hops = self.misses = 0
        self.broker = True

    def run(self, text=None):
        if text is not None:
            self.file.write_text(text)
        self.start = begin(self.file, {}, self.environ)
        self.configuration = Transaction(self.start, Scribe("hall", "pi"))
        self.said = [self.configuration.reported(self.stamp)]

    @property
    def stamp(self):
        return Stamp(EPOCH_MS + self.second * 1000, True, self.second * 1_000_000_000)

    def live(self, seconds, audio=True, late=0, broker=True):
        self.broker = broker
        for _ in range(seconds):
            self.second += 1
            self.hops, self.misses = self.hops + 100 * audio, self.misses + late
            self.said += self.configuration.process(Vitals(audio, self.hops, self.misses, broker), self.stamp)
        self.settle()

    def settle(self):
        """What is being written has been written, and the outcome is known."""
        configuration = self.configuration
        eventually(lambda: configuration._errand is None or configuration._errand[0].done(), "the errand")
        self.said += configuration.process(Vitals(True, self.hops, self.misses, self.broker), self.stamp)

    def ask(self, toml, **fields):
        fields = {"id": "c1", "caller": "fleet", "parent": self.configuration.hash} | fields
        self.said += self.configuration.ask(ConfigDesired(toml=toml, **fields), self.stamp)
        self.settle()

    def bodies(self, ending):
        for publication in self.said:
            contract.decode(publication.topic, publication.payload)
        return [json.loads(p.payload) for p in self.said if p.topic.endswith(ending)]

    @property
    def reported(self):
        return self.bodies("config/reported")[-1]

    @property
    def events(self):
        return [(each["severity"], each["code"]) for each in self.bodies("event/config")]


@pytest.fixture
def edge(tmp_path):
    return Edge(tmp_path)


@pytest.fixture
def proven(edge):
    edge.run(GOOD)
    edge.live(7)
    return edge


def test_a_file_that_does_well_becomes_a_generation(edge):
    edge.run(GOOD)
    assert (edge.reported["on_trial"], edge.reported["generation"], edge.reported["origin"]) == (True, 1, "file")
    edge.live(3)
    assert edge.store.kept() == []
    edge.live(4)
    assert (edge.reported["on_trial"], edge.reported["generation"]) == (False, 1)
    assert edge.reported["hash"] == digest(GOOD.encode())
    assert edge.store.kept()[0].reached
    assert edge.store.record().starts == 0
    assert edge.events == [("info", "")]


def test_a_change_that_breaks_the_sound_is_given_back_and_the_next_start_says_why(proven):
    proven.run(GOOD + '[audio]\ndevice = "none"\n')
    proven.live(8, audio=False)
    assert "no sound" in proven.configuration.restart
    proven.run()
    assert (proven.reported["origin"], proven.reported["code"]) == ("last-known-good", "CONFIG_ROLLED_BACK")
    assert proven.reported["refused"] == digest(proven.file.read_bytes())
    assert "no sound" in proven.reported["reason"]
    assert proven.configuration.health[:2] == ("degraded", "CONFIG_ROLLED_BACK")
    proven.live(7)
    assert proven.events == [("alarm", "CONFIG_ROLLED_BACK")]
    assert proven.configuration.restart == ""


def test_a_card_that_is_unplugged_condemns_no_change_of_something_else(proven):
    proven.run(GOOD + LOUD)
    proven.live(100, audio=False)
    assert (proven.configuration.restart, proven.reported["on_trial"]) == ("", True)
    assert proven.store.record().starts == 0, "the start survived, though the configuration has yet to prove itself"
    proven.live(7)
    assert not proven.reported["on_trial"]


def test_a_broker_that_is_down_does_not_keep_a_change_from_proving_itself(proven):
    proven.run(GOOD + LOUD)
    proven.live(7, broker=False)
    assert not proven.reported["on_trial"]


def test_a_broker_that_comes_after_the_proof_judges_the_next_change_of_it(edge):
    edge.run(GOOD)
    edge.live(7, broker=False)
    assert not edge.store.kept()[0].reached
    edge.live(2)
    assert [(each.number, each.reached) for each in edge.store.kept()] == [(1, True)]
    edge.run(GOOD.replace("[mqtt]", "[mqtt]\nurl = 'mqtts://brokre'"))
    edge.live(8, broker=False)
    assert "the broker was not reached" in edge.configuration.restart


def test_that_the_broker_was_reached_is_written_when_there_is_room_again(edge, monkeypatch):
    edge.run(GOOD)
    edge.live(7, broker=False)
    with monkeypatch.context() as patch:
        patch.setattr(generations, "write_whole", full)
        edge.live(30)
        assert (edge.reported["code"], edge.store.kept()[0].reached) == ("STATE_UNWRITABLE", False)
    for _ in range(10):
        edge.live(1)
    assert (edge.reported["code"], edge.store.kept()[0].reached) == ("", True)


def test_on_a_card_that_stays_full_writing_is_not_tried_every_second(edge, monkeypatch):
    edge.run(GOOD)
    edge.live(7, broker=False)
    tried = []
    monkeypatch.setattr(generations, "write_whole", lambda path, _: full(tried.append(path.name)))
    for _ in range(30):
        edge.live(1)
    assert 1 <= len(tried) <= 6
    assert edge.events.count(("alarm", "STATE_UNWRITABLE")) == 1


def test_that_the_broker_was_reached_is_written_once(proven, monkeypatch):
    written = []
    proven.run()
    proven.live(7)
    monkeypatch.setattr(generations, "write_whole", lambda path, _: written.append(path.name))
    proven.live(20)
    assert written == []


def test_a_start_of_what_is_known_is_through_after_the_same_time(proven):
    proven.run()
    assert proven.store.record().starts == 1
    proven.live(7, audio=False)
    assert proven.store.record().starts == 0


def test_a_configuration_over_mqtt_is_staged_and_the_daemon_starts_anew_with_it(proven):
    proven.ask(LOUD)
    assert "MQTT" in proven.configuration.restart
    assert proven.events[-1] == ("info", "")
    proven.run()
    assert (proven.reported["origin"], proven.reported["on_trial"]) == ("remote", True)
    assert proven.reported["hash"] == digest(LOUD.encode())
    assert (proven.start.settings.site, proven.start.settings.telemetry.rate_hz) == ("hall", 2.0)
    assert proven.start.settings.mqtt.accept_config, "[mqtt] is the local file's"
    proven.live(25)
    assert proven.reported["generation"] == 2
    proven.ask(LOUD + "# again\n")
    assert proven.configuration.restart, "a remote one can follow a remote one"


def test_a_configuration_over_mqtt_that_fails_leaves_everything_as_it_was(proven):
    proven.ask("[audio]\ndevice = 'none'\n[system]\ngate_s = 5.0\n")
    proven.run()
    proven.live(8, audio=False)
    proven.run()
    assert (proven.reported["origin"], proven.reported["generation"]) == ("file", 1)
    assert proven.configuration.health == ("ready", "", "")
    assert proven.reported["code"] == "CONFIG_ROLLED_BACK"
    proven.live(7)
    assert ("alarm", "CONFIG_ROLLED_BACK") in proven.events
    proven.run()
    proven.live(7)
    assert proven.events == [], "it was told"


def test_a_configuration_over_mqtt_that_fails_while_the_file_is_on_trial_is_told(proven):
    proven.run(GOOD + "[beat]\nlead_ms = 200\n")
    proven.ask("[audio]\ndevice = 'none'\n[system]\ngate_s = 5.0\n")
    proven.run()
    proven.live(8, audio=False)
    proven.run()
    assert (proven.reported["origin"], proven.reported["on_trial"]) == ("file", True)
    assert (proven.reported["code"], proven.reported["reason"]) == ("CONFIG_ROLLED_BACK", "no sound came")
    proven.live(3)
    assert proven.events == [("alarm", "CONFIG_ROLLED_BACK")]


REFUSED = [
    ("another was running when it was edited", LOUD, {"parent": "0" * 16}, "CONFIG_CONFLICT"),
    ("the same is running", GOOD, {}, "CONFIG_UNCHANGED"),
    ("it has faults", "[beat]\nlead_ms = 1\nx = 2\n", {}, "CONFIG_INVALID"),
    ("it is no TOML", "[[[", {}, "CONFIG_INVALID"),
    ("it came too late", LOUD, {"expires_at_ms": EPOCH_MS - 1}, "EXPIRED"),
    ("it would be another edge", 'edge = "other"\n', {}, "CONFIG_INVALID"),
    ("it would go to another broker", '[mqtt]\nurl = "mqtts://evil:8883"\n', {}, "CONFIG_INVALID"),
    ("it would send a file as the password", '[mqtt]\npassword_file = "/etc/hostname"\nusername = "x"\n', {}, "CONFIG_INVALID"),
]


@pytest.mark.parametrize(("toml", "fields", "code"), [pytest.param(*each[1:], id=each[0]) for each in REFUSED])
def test_what_cannot_be_granted_is_refused_with_the_reason_and_nothing_changes(proven, toml, fields, code):
    proven.ask(toml, **fields)
    assert proven.configuration.restart == ""
    assert proven.store.candidate() is None
    assert proven.events[-1] == ("warning", code)
    assert proven.reported["code"] == code
    assert (proven.reported["refused"], proven.reported["hash"]) == (digest(toml.encode()), digest(GOOD.encode()))
    assert proven.configuration.health[0] == "ready"
    assert proven.bodies("event/config")[-1]["data"]["id"] == "c1"


def test_a_refusal_is_in_the_log_once_however_often_it_is_repeated(proven, caplog):
    for wish in ("[[[", "[[[", "x = 1\n"):
        proven.ask(wish)
    assert [record.k1_fields["code"] for record in caplog.records] == ["CONFIG_INVALID"] * 2


def test_every_fault_is_reported(proven):
    proven.ask("[beat]\nlead_ms = 1\nx = 2\n[audio]\nrate_hz = 3\n")
    assert len(proven.reported["faults"]) == 3
    assert proven.reported["reason"].startswith("3 faults: config/desired:2: beat.lead_ms")
    assert "config/desired:2: beat.lead_ms" in proven.reported["faults"][0]


def test_what_the_local_file_says_too_may_be_repeated(proven):
    proven.ask(GOOD + LOUD)
    assert proven.configuration.restart


def test_nothing_is_taken_over_mqtt_unless_the_local_file_allows_it(edge):
    edge.run(GOOD.replace("accept_config = true", ""))
    edge.live(7)
    edge.ask("[mqtt]\naccept_config = true\n")
    assert edge.events[-1] == ("warning", "UNAUTHORIZED")
    assert edge.store.candidate() is None


def test_a_flood_of_wishes_is_slowed_down(proven):
    for number in range(10):
        proven.ask(f"x = {number}")
    assert proven.events.count(("warning", "RATE_LIMIT_EXCEEDED")) == 7
    proven.live(6)
    proven.ask("x = 99")
    assert proven.events[-1] == ("warning", "CONFIG_INVALID")


EDITS = {"edited": lambda file: file.write_text(GOOD + "# yesterday\n"), "lost": lambda file: file.unlink()}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_wish_is_refused_where_the_file_is_no_more_what_it_was_at_the_start(proven, edit):
    edit(proven.file)
    proven.ask(LOUD)
    assert proven.events[-1] == ("warning", "CONFIG_CONFLICT")
    assert str(proven.file) in proven.reported["reason"]
    assert proven.configuration.restart == "", "nobody asked for the edit to be tried"
    assert proven.store.candidate() is None


def test_a_full_disk_is_said_once_and_what_did_well_is_kept_when_there_is_room_again(edge, monkeypatch):
    edge.run(GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(generations, "write_whole", full)
        edge.live(30)
        assert edge.reported["code"] == "STATE_UNWRITABLE"
        assert edge.reported["on_trial"]
        assert edge.events == [("alarm", "STATE_UNWRITABLE")]
    edge.live(10)
    assert (edge.reported["code"], edge.reported["on_trial"]) == ("", False)


def test_a_disk_that_was_full_at_the_start_is_complained_of_until_there_is_room(proven, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(generations, "write_whole", full)
        proven.run()
        proven.live(30)
        assert proven.reported["code"] == "STATE_UNWRITABLE"
    proven.live(7)
    assert proven.reported["code"] == ""
    assert proven.events == [("alarm", "STATE_UNWRITABLE")]


def test_with_a_read_only_state_a_bad_change_is_kept_rather_than_tried_for_ever(proven, monkeypatch):
    monkeypatch.setattr(generations, "write_whole", full)
    proven.run(GOOD + '[audio]\ndevice = "none"\n')
    assert "No space" in proven.reported["reason"]
    proven.live(30, audio=False)
    assert proven.configuration.restart == ""
    assert proven.events == [("alarm", "STATE_UNWRITABLE")]


def test_a_wish_that_cannot_be_kept_does_not_restart_anything(proven, monkeypatch):
    monkeypatch.setattr(generations, "write_whole", full)
    proven.ask(LOUD)
    assert proven.configuration.restart == ""
    assert proven.events[-1] == ("alarm", "STATE_UNWRITABLE")


def test_text_that_could_steer_a_terminal_is_not_passed_on(proven):
    proven.store.refuse(Refusal("abc", "CONFIG_ROLLED_BACK", "bad \u202e\x1b[2J" + "x" * 2000))
    proven.run()
    proven.live(7)
    assert "\x1b" not in proven.reported["reason"]
    assert len(proven.reported["reason"]) <= 512


def test_closing_waits_for_what_is_being_written(edge):
    edge.run(GOOD)
    for _ in range(7):
        edge.second += 1
        edge.hops += 100
        list(edge.configuration.process(Vitals(True, edge.hops, 0, True), edge.stamp))
    edge.configuration.close()
    assert len(edge.store.kept()) == 1


def test_a_stop_does_not_wait_for_a_card_that_takes_seconds(edge, monkeypatch):
    written = threading.Event()
    with monkeypatch.context() as patch:
        edge.run(GOOD)
        patch.setattr(generations, "write_whole", lambda path, content: written.wait(PATIENCE_S))
        while edge.configuration._errand is None:
            edge.second += 1
            edge.hops += 100
            list(edge.configuration.process(Vitals(True, edge.hops, 0, True), edge.stamp))
        began_s = time.monotonic()
        edge.configuration.close()
        written.set()
    assert time.monotonic() - began_s < PATIENCE_S


def test_where_the_machine_grants_no_thread_a_wish_is_refused_and_nothing_ends(edge, monkeypatch):
    edge.run(GOOD)
    monkeypatch.setattr("k1edge.errand._thread.start_new_thread", raising(RuntimeError("can't start new thread")))
    edge.ask(GOOD + LOUD)
    assert edge.reported["code"] == "STATE_UNWRITABLE" and not edge.configuration.restart
