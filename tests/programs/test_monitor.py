"""`k1edge monitor`: what an edge says, on a screen of any size, or in lines."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from k1edge.config import MqttSettings
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.k1.link import Identity, Link
from k1edge.programs import monitor as monitor_program
from k1edge.programs.panel import DIM, GONE_S, STALE_S, WARN, SiteView
from k1edge.system.broker import EmbeddedBroker
from tests.brokers import PATIENCE_S, eventually
from tests.in_terminal import InTerminal
from tests.in_terminal import told as run
from tests.k1.examples import EXAMPLES
from tests.k1.fake_edge import SITE, FakeEdge, now

STAMP = Stamp(1_700_000_000_000, True)


def tell(view, model, *, by="pi-1", at_s=100.0, **facts):
    said = Scribe("club", by).write(model, STAMP, **facts)
    view.take(said.topic, said.payload, at_s)


@pytest.fixture
def view():
    view = SiteView("+")
    for model in contract.EDGE_MESSAGES:
        tell(view, model, **EXAMPLES[model])
    tell(view, contract.DeviceStatus, by="k1-a", state="ready")
    return view


def screen(view, columns=80, now_s=100.5):
    return "\n".join(text for text, _ in view.lines(columns, now_s))


def test_everything_an_edge_says_is_on_the_screen(view):
    shown = screen(view)
    for expected in ("pi-1", "degraded", "AUDIO_ABSENT", "128.0 bpm", "locked", "0.90", "● ○ ○ ○", "beat 41", "-20.0 dBFS",
                     "energy", "vocal", "bass", "percussiveness", "brightness", "drop", "pulse in Black Magenta Red",
                     "Ouvertüre  (leading)",
                     "held by", "desk", "k1-a ready", "cpu 12 %", "temperature 51 °C", "drift -1.5 ms"):  # fmt: skip
        assert expected in shown


@pytest.mark.parametrize(("per_bar", "dots"), [(0, "● ○ ○ ○ "), (3, "● ○ ○  "), (5, "● ○ ○ ○ ○ ")])
def test_a_bar_has_as_many_dots_as_beats(view, per_bar, dots):
    assert f" {dots}" in after(view, contract.TempoState, **EXAMPLES[contract.TempoState] | {"beats_per_bar": per_bar})


@pytest.mark.parametrize("columns", [1, 10, 24, 80, 300])
def test_no_line_is_wider_than_the_terminal(view, columns):
    assert all(len(text) <= columns for text, _ in view.lines(columns, 100.0))


HUM = {"code": "MAINS_HUM", "reason": "the line carries mains hum", "remedy": "check the ground"}


def after(view, model, **facts):
    """The screen, once the edge has said this."""
    tell(view, model, at_s=101.0, **facts)
    return screen(view)


def test_what_is_wrong_with_the_line_stands_below_ready_with_what_to_do(view):
    after(view, contract.Status, state="ready")
    shown = after(view, contract.AudioState, state="silent", **HUM)
    assert "line           MAINS_HUM  the line carries mains hum\n               check the ground\n" in shown
    assert "MAINS_HUM" not in after(view, contract.AudioState, state="ok")


def test_what_status_says_of_the_line_is_not_said_twice(view):
    assert after(view, contract.AudioState, state="absent", code="AUDIO_ABSENT", reason="no card").count("AUDIO_ABSENT") == 1


def test_a_configuration_that_was_refused_stands_with_its_faults(view):
    assert "config         CONFIG_INVALID\n               line 3: speed\n" in screen(view)
    running = EXAMPLES[contract.ConfigReported] | {"refused": "", "code": "", "faults": ()}
    assert "CONFIG_INVALID" not in after(view, contract.ConfigReported, **running)


def test_telemetry_that_has_stopped_coming_is_marked(view):
    assert "last heard" not in screen(view, now_s=100.0 + STALE_S - 1)
    assert "last heard 9 s ago" in screen(view, now_s=109.0)


def test_nothing_of_an_edge_that_is_no_longer_heard_looks_alive(view):
    after(view, contract.Status, state="ready")
    (state, colour), *rest = view.lines(80, 100.0 + STALE_S + 4)
    assert (state, colour) == ("pi-1  ready  (last heard 9 s ago)", WARN)
    assert {colour for _, colour in rest} == {DIM}


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_bars_stand_below_each_other_with_their_numbers_beside_them(view, columns):
    shown = screen(view, columns).splitlines()
    numbers = [line for line in shown if line.startswith(("energy", "vocal", "bass", "percussiveness", "brightness"))]
    assert {(line.index("█"), len(line)) for line in numbers} == {(15, len(numbers[0]))}
    assert any(line.startswith("input") and line.endswith(" dBFS") for line in shown)


def test_a_beat_that_is_only_searched_for_looks_so(view):
    shown = after(view, contract.Frame, **EXAMPLES[contract.Frame] | {"bpm": 0.0, "lock": False, "phase": 0.0})
    assert "\ntempo            --  bpm  searching\n" in shown
    assert {colour for text, colour in view.lines(80, 101.0) if text.startswith(("phase", "bar"))} == {DIM}


def test_a_fact_keeps_its_place_whatever_the_others_say(view):
    before = after(view, contract.Telemetry, cpu_pct=9.0, temp_c=50.0, rss_mb=99.0)
    later = after(view, contract.Telemetry, cpu_pct=100.0, temp_c=50.0, rss_mb=101.0)
    assert before.index("temperature") == later.index("temperature") and before.index("memory") == later.index("memory")


def test_what_is_too_long_for_a_line_goes_on_below(view):
    reason = "another edge of this site may drive the same K1s: they get every beat twice"
    after(view, contract.Status, state="degraded", code="TWO_EDGES", reason=reason)
    after(view, contract.AudioState, state="ok", code="MAINS_HUM", reason=reason, remedy=reason[::-1])
    for number in range(9):
        tell(view, contract.DeviceStatus, by=f"k1-{number}", state="lost")
    words = " ".join(screen(view, 40).split())
    for told in (reason, reason[::-1], "k1-8 lost"):
        assert told in words


def test_an_event_says_what_it_is_and_when_it_was(view):
    said = {"kind": "section", "data": {"index": 3, "label": "chorus", "provisional": True}}
    after(view, contract.Event, **said)
    assert "\n2 s ago        section  chorus  (provisional)\n" in screen(view, now_s=103.0)
    assert "\n3 min ago      section  chorus  (provisional)\n" in screen(view, now_s=281.0)
    after(view, contract.Event, kind="silence", data={"index": 4, "label": "silence"})
    assert "\n2 s ago        silence\n" in screen(view, now_s=103.0)
    assert "limiter" not in after(view, contract.Event, kind="limiter", data={"beat": 4.0})


def test_the_edges_account_of_its_last_hour_stays_on_the_screen(view):
    figures = {"lock_time_s_mean": 2.5, "relocks": 3.0, "sections_per_hour": 41.0, "limited": 7.0, "confidence_9": 0.6}
    for kind, data in (("score", figures), *[("limiter", {"beat": 1.0})] * 20):
        tell(view, contract.Event, at_s=101.0, kind=kind, data=data)
    shown = screen(view, columns=120)
    for expected in ("lock after 2.5", "re-locks 3", "sections/h 41", "limited 7", "confidence ▁▁▁▁▁▁▁▁▁█"):
        assert expected in shown


def test_an_edge_that_was_not_heard_is_said_to_be_silent():
    assert screen(SiteView("pi-1", "club")).startswith("nothing heard yet at site club: --site and --edge say")


def test_that_nothing_is_heard_is_a_line_once(monkeypatch, capsys):
    monkeypatch.setattr(monitor_program, "STALE_S", 0.0)
    monkeypatch.setattr(monitor_program, "POLL_S", 0.0)
    rounds = iter([False] * 5 + [True])
    link = SimpleNamespace(connected=True, last_reason="", receive=lambda: ())
    monitor_program._print_lines(link, SiteView("+", "club"), lambda: next(rounds))
    assert capsys.readouterr().out.splitlines() == [SiteView("+", "club").silence]


def heard(view, edge, at_s, *, state="ready"):
    """An edge says how it is and how it fares."""
    tell(view, contract.Status, by=edge, at_s=at_s, state=state)
    tell(view, contract.Telemetry, by=edge, at_s=at_s, cpu_pct=5.0)


def test_of_two_edges_one_is_shown_and_never_what_the_other_says():
    view = SiteView("+")
    for at_s in range(60):
        heard(view, "pi-1", at_s)
        heard(view, "pi-2", at_s + 0.5, state="degraded")
        lines = screen(view, now_s=at_s + 0.6).splitlines()
        assert lines[0].split() == ["pi-1", "ready"]
    assert lines[1] == "also here      pi-2 degraded  (--edge NAME shows one)"


def test_an_edge_that_was_lost_long_ago_does_not_stand_for_one_that_lives():
    view = SiteView("+")
    tell(view, contract.Status, by="old", at_s=0.0, state="lost")  # retained
    assert screen(view).startswith("old  lost")
    heard(view, "pi-1", 1.0)
    tell(view, contract.Status, by="old", at_s=2.0, state="lost")
    assert screen(view).startswith("pi-1  ready")


def test_an_edge_that_dies_while_it_is_watched_makes_room_for_one_that_lives():
    view = SiteView("+")
    heard(view, "pi-1", 0.0)
    heard(view, "pi-2", GONE_S - 1)
    assert screen(view).startswith("pi-1")
    heard(view, "pi-2", GONE_S + 1)
    assert screen(view).startswith("pi-2")


def test_a_cleared_state_disappears(view):
    view.take(contract.topic(contract.SectionState, "club", "pi-1"), b"", 101.0)
    assert "section" not in screen(view)


def test_what_is_not_of_the_contract_is_counted_and_not_shown(view):
    before = screen(view)
    assert view.take("k1/v1/club/edge/pi-1/status", b'{"state":"on fire"}', 100.0) is None
    assert view.take("other/topic", b"{}", 100.0) is None
    assert view.rejected == 2
    assert screen(view) == before


def monitor(url, *options, **process):
    command = [sys.executable, "-m", "k1edge", "monitor", "--url", url, "--site", SITE, *options]
    return subprocess.Popen(command, **process)


@pytest.fixture
def edge(mosquitto):
    edge = FakeEdge(mosquitto.settings())
    edge.link.send(edge.scribe.write(contract.Status, now(), state="ready"))
    eventually(lambda: edge.link.connected)
    yield edge
    edge.link.close()


def test_a_pipe_gets_a_line_for_each_message(mosquitto, edge):
    process = monitor(mosquitto.url, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline()]
    edge.link.send(edge.scribe.write(contract.Telemetry, now(), cpu_pct=12.5))
    edge.link.send(edge.scribe.write(contract.Event, now(), kind="drop", confidence=0.8))
    lines += [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    process.stdout.close()
    assert lines[0].startswith("edge/edge-a/status {") and '"ready"' in lines[0]
    assert sorted(line.split()[0] for line in lines[1:]) == ["edge/edge-a/event/drop", "edge/edge-a/telemetry"]


def test_what_there_is_a_lot_of_keeps_nothing_else_from_who_comes_to_the_embedded_broker():
    with EmbeddedBroker() as broker:
        settings = MqttSettings(url=broker.url)
        edge = FakeEdge(settings)
        eventually(lambda: edge.link.connected)
        models = [model for model in contract.EDGE_MESSAGES if model.RETAIN and not model.LEAF.endswith("}")]
        tracks = [EXAMPLES[contract.Track] | {"id": f"{number:016x}"} for number in range(300)]
        for model, said in [*((model, EXAMPLES[model]) for model in models), *((contract.Track, track) for track in tracks)]:
            edge.link.send(edge.scribe.write(model, now(), **said))
        eventually(lambda: not edge.link.queued)
        told = set()
        view = Link(settings, Identity("view", monitor_program.everything(SITE, "+")))
        view.start()
        eventually(lambda: told.update(each.topic for each in view.receive()) or len(told) >= 100)
        for link in (view, edge.link):
            link.close()
    assert told >= {contract.topic(model, SITE, "edge-a") for model in models}


def test_monitors_leave_each_other_at_the_broker_though_each_is_the_first_process_of_its_container(mosquitto, edge):
    alike = "import os, sys; os.getpid = lambda: 1; from k1edge.__main__ import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", alike, "monitor", "--url", mosquitto.url, "--site", SITE, "--lines"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert "edge-a/status" in process.stdout.readline()
    for process in both:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert "already connected" not in mosquitto.log


def test_a_terminal_gets_a_screen(mosquitto, edge):
    with InTerminal(70, 20, "monitor", "--url", mosquitto.url, "--site", SITE) as program:
        eventually(lambda: b"edge-a  ready" in program.screen)
    assert program.process.returncode == 0
    assert b"\x1b[?1049l" in program.screen


def test_a_broker_that_is_not_there_is_told():
    process = monitor("mqtt://127.0.0.1:1", "--seconds", "2", "--lines", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                      text=True)  # fmt: skip
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert output == "broker: Connection refused\n"
    assert "mqtt://127.0.0.1:1: Connection refused; --url" in errors


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--url", "ftp://x"), "mqtt://"),
        (("--url", ""), "--url is empty"),
        (("--edge", "pi 1"), 'try "pi-1"'),
        (("--site", "#"), "may only hold"),
        (("--seconds", "nan"), "seconds above 0"),
        (("--seconds", "-1"), "seconds above 0"),
        (("--no-such",), "unrecognized arguments: --no-such"),
    ],
)
def test_a_wrong_option_is_told(capsys, options, told):
    code, _, errors = run(capsys, "monitor", "--url", "mqtt://127.0.0.1:1", *options)
    assert code == 2
    assert told in errors
