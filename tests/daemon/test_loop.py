"""The loop when its sound goes: what is told, and in which order."""

import time
from types import SimpleNamespace

import pytest

import k1edge.daemon.loop
from k1edge.audio import AudioError, StuckError
from k1edge.daemon.loop import BACKOFF_S, STEADY_HOPS, Loop
from k1edge.daemon.sources import Opened
from k1edge.frames import StreamFormat
from k1edge.system.systemd import Notifier
from tests.failing import raising

FMT = StreamFormat(48_000)
GONE = AudioError("CODEC", "was disconnected", "check the cable")


class Card:
    """A source that is gone at once; its close ends, or does not."""

    fmt = FMT

    def __init__(self, told, stuck=False, fault=GONE):
        self._told, self._stuck, self._fault = told, stuck, fault

    def __iter__(self):
        raise self._fault
        yield

    def close(self):
        self._told.append("closed")
        if self._stuck:
            raise StuckError("CODEC", "does not respond", "restart this process")


class FakeEdge:
    def __init__(self):
        self.told = []
        self.telemetry = SimpleNamespace(hops=0)
        self.restart, self.headline = "", "x"
        self.blackbox = SimpleNamespace(nbytes=0)

    def listen(self, source, name):
        self.told.append("listens")

    def lose_audio(self, error):
        self.told.append(error.reason)

    def attend(self):
        pass


@pytest.fixture
def edge(monkeypatch):
    """Of a loop that looks for a card again at once."""
    monkeypatch.setattr(k1edge.daemon.loop, "BACKOFF_S", (0.0,))
    return FakeEdge()


def loop(edge, sources):
    """A daemon that opens these, one after the other, and then stops."""
    opened = iter(sources)

    def open_next():
        source = next(opened, None)
        if source is None:
            running.stop()
            raise AudioError("CODEC", "is not here", "connect it")
        return Opened(source, "CODEC")

    running = Loop(edge, open_next, Notifier({}), lambda: None)
    return running


def test_the_k1s_are_released_before_a_dead_card_is_closed_and_told_once(edge):
    loop(edge, [Card(edge.told), Card(edge.told)]).follow_line()
    assert edge.told == ["listens", "was disconnected", "closed"] * 2 + ["is not here"]


def test_a_close_that_hangs_ends_the_process_after_everyone_was_told(edge):
    with pytest.raises(StuckError) as ended:
        loop(edge, [Card(edge.told, stuck=True)]).follow_line()
    assert ended.value.before is None
    assert edge.told == ["listens", "was disconnected", "closed", "does not respond"]


def test_a_sound_library_that_hangs_at_the_start_ends_the_process_after_everyone_was_told(edge):
    hang = raising(StuckError("PortAudio", "does not respond", "restart this process"))
    with pytest.raises(StuckError):
        Loop(edge, hang, Notifier({}), lambda: None).follow_line()
    assert edge.told == ["does not respond"]


def test_a_loop_that_hangs_feeds_no_watchdog(edge):
    signs, while_it_hung = [], []

    class Hanging(Card):
        def __iter__(self):
            yield None
            before = len(signs)
            time.sleep(0.5)
            while_it_hung.append(len(signs) - before)
            raise GONE

    notifier = SimpleNamespace(watchdog_s=0.05, alive=lambda: signs.append("alive"), status=print, ready=print)
    with pytest.raises(AudioError):
        Loop(edge, lambda: Opened(Hanging(edge.told), "CODEC"), notifier, lambda: None).follow()
    assert signs and while_it_hung == [0]


def test_a_card_is_looked_for_often_enough_for_light_within_ten_seconds():
    assert max(BACKOFF_S) <= 3.0
    assert list(BACKOFF_S) == sorted(BACKOFF_S)


def test_systemd_hears_that_a_loop_without_a_card_is_ready_once_and_that_it_lives(edge, monkeypatch):
    """Else it would be killed at the end of the time for a start, and again."""
    heard = []

    class Heard(Notifier):
        def ready(self, status):
            heard.append("ready")

        def alive(self):
            heard.append("alive")

    def absent():
        if "alive" in heard:
            running.stop()
        raise AudioError("CODEC", "is not here", "connect it")

    monkeypatch.setattr(k1edge.daemon.loop, "BACKOFF_S", (0.05,))
    running = Loop(edge, absent, Heard({}), lambda: None)
    running.follow_line()
    assert heard[0] == "ready" and set(heard[1:]) == {"alive"}


def test_a_search_for_audio_that_uses_up_memory_goes_on_in_a_new_process(edge, monkeypatch):
    weights_mb = [60.0, 140.0, 159.0, 161.0]
    monkeypatch.setattr(k1edge.daemon.loop, "rss_mb", lambda: weights_mb.pop(0))
    running = Loop(edge, raising(GONE), Notifier({}), lambda: None)
    running.follow_line()
    assert weights_mb == []
    assert running.restart == "because the search for audio has used up memory"


def test_a_loose_plug_that_uses_up_memory_little_by_little_goes_on_in_a_new_process(edge, monkeypatch):
    weights_mb = [60.0, 96.0, 130.0, 160.0, 195.0, 197.0]

    def flows_and_is_lost():
        edge.telemetry.hops += (len(weights_mb) < 6) * 2 * STEADY_HOPS
        raise AudioError("CODEC", "was disconnected", "check the cable")

    monkeypatch.setattr(k1edge.daemon.loop, "rss_mb", lambda: weights_mb.pop(0))
    running = Loop(edge, flows_and_is_lost, Notifier({}), lambda: None)
    running.follow_line()
    assert weights_mb == [], "counted from when all that is needed was there, and over all losses"
    assert running.restart == "because the search for audio has used up memory"


def test_a_recording_that_grows_is_no_memory_that_looking_for_audio_has_used_up(edge, monkeypatch):
    minutes = [1, 20, 60, 61]

    def flows_and_is_lost():
        edge.telemetry.hops += 2 * STEADY_HOPS
        edge.blackbox.nbytes = minutes.pop(0) * 2_820_000
        if not minutes:
            running.stop()
        raise GONE

    monkeypatch.setattr(k1edge.daemon.loop, "rss_mb", lambda: 90.0 + edge.blackbox.nbytes / 1e6)
    running = Loop(edge, flows_and_is_lost, Notifier({}), lambda: None)
    running.follow_line()
    assert minutes == []


def test_what_the_loop_died_of_is_known_although_the_card_does_not_close_either(edge):
    with pytest.raises(StuckError) as ended:
        loop(edge, [Card(edge.told, stuck=True, fault=MemoryError())]).follow_line()
    assert isinstance(ended.value.before, MemoryError)
