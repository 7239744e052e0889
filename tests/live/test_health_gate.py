"""A changed configuration is trusted after it did well for long enough, and given back only for what it can have broken."""

import pytest

from k1edge.config import AudioSettings, BeatSettings, LogSettings, MqttSettings, Settings
from k1edge.live.health_gate import HealthGate, Judged, Verdict, Vitals, judged

ALL = frozenset({"audio", "engine", "broker"})
GATE_S = 20.0


@pytest.fixture
def gate():
    """Suspects and requires all."""
    return HealthGate(Judged(ALL, ALL), GATE_S)


def verdicts(gate, vitals, seconds, begin_s=0):
    """The verdict of every second; `vitals(second)` gives (audio, late hops of 100, broker)."""
    said, hops, misses = [], 0, 0
    for second in range(begin_s, begin_s + seconds):
        audio, late, broker = vitals(second)
        hops, misses = hops + 100 * audio, misses + late
        said.append(gate.process(Vitals(audio, hops, misses, broker), float(second)))
    return said


def well(_second):
    return True, 0, True


def test_health_for_the_whole_time_passes_and_no_earlier(gate):
    said = verdicts(gate, well, 21)
    assert said[:20] == [Verdict.WAITING] * 20
    assert said[20] is Verdict.PASSED


def test_an_interruption_begins_the_time_anew(gate):
    said = verdicts(gate, lambda s: (s != 15, 0, True), 40)
    assert said.index(Verdict.PASSED) == 16 + 20


@pytest.mark.parametrize(
    ("ill", "words"),
    [((False, 0, True), "no sound"), ((True, 90, True), "did not keep up"), ((True, 0, False), "broker was not reached")],
)
def test_lasting_trouble_of_a_suspect_fails_and_says_why(gate, ill, words):
    said = verdicts(gate, lambda s: ill, 21)
    assert said[:20] == [Verdict.WAITING] * 20
    assert said[20] is Verdict.FAILED
    assert words in gate.reason


@pytest.mark.parametrize("ill", [(False, 0, True), (True, 90, True)])
def test_trouble_that_cannot_be_its_fault_only_delays_the_verdict(ill):
    gate = HealthGate(Judged(frozenset({"audio", "engine"}), frozenset()), GATE_S)
    said = verdicts(gate, lambda s: ill if s < 1000 else (True, 0, True), 1030)
    assert set(said[:1000]) == {Verdict.WAITING}
    assert said.index(Verdict.PASSED) == 1020


def test_a_broker_that_is_down_does_not_matter_where_it_is_not_required():
    gate = HealthGate(Judged(frozenset({"audio", "engine"}), frozenset()), GATE_S)
    assert verdicts(gate, lambda s: (True, 0, False), 21)[20] is Verdict.PASSED


def test_trouble_that_comes_and_goes_does_not_condemn(gate):
    assert set(verdicts(gate, lambda s: (s % 19 != 0, 0, True), 500)) == {Verdict.WAITING}


def test_a_busy_moment_is_not_an_engine_that_cannot_keep_up(gate):
    assert verdicts(gate, lambda s: (True, 40, True), 21)[20] is Verdict.PASSED


def test_sound_that_is_open_but_does_not_flow_is_not_health(gate):
    said = [gate.process(Vitals(True, 100, 0, True), float(second)) for second in range(23)]
    assert Verdict.PASSED not in said
    assert said[-1] is Verdict.FAILED


def test_what_the_link_says_is_the_reason(gate):
    gate.process(Vitals(True, 100, 0, False, "publishing refused: Not authorized"), 0.0)
    assert gate.reason == "the broker was not reached: publishing refused: Not authorized"


def test_with_nothing_to_go_back_to_whatever_survives_passes():
    parts = judged(Settings(), None, reached=False)
    assert verdicts(HealthGate(parts, GATE_S), lambda s: (False, 0, False), 21)[20] is Verdict.PASSED


BASE = Settings(mqtt=MqttSettings(url="mqtts://a:8883"))
CHANGES = [
    ("looks and log change nothing that can break", {"log": LogSettings(level="debug")}, set()),
    ("another device", {"audio": AudioSettings(device="x")}, {"audio", "engine"}),
    ("another engine", {"beat": BeatSettings(engine="aubio")}, {"engine"}),
    ("another broker", {"mqtt": MqttSettings(url="mqtts://b:8883")}, {"broker"}),
    ("another site, whose topics the broker may forbid", {"site": "blue-roon"}, {"broker"}),
    ("another name at it", {"edge": "pi-2"}, {"broker"}),
]


@pytest.mark.parametrize(("change", "suspect"), [pytest.param(*each[1:], id=each[0]) for each in CHANGES])
def test_only_what_was_touched_is_suspect(change, suspect):
    parts = judged(BASE.model_copy(update=change), BASE, reached=True)
    assert parts.suspect == suspect
    assert parts.required == {"audio", "engine"} | ({"broker"} & suspect)


def test_a_broker_that_was_never_reached_before_condemns_nothing():
    other = BASE.model_copy(update={"mqtt": MqttSettings(url="mqtts://b:8883")})
    assert "broker" not in judged(other, BASE, reached=False).required
