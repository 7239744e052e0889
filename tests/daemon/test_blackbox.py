"""The flight recorder of a running edge: what is done to its pipeline between two hops is done again in a replay."""

import errno
import json
import re
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.__main__ import main
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.daemon.blackbox import BlackBox
from k1edge.daemon.edge import Edge
from k1edge.daemon.recorder import read
from k1edge.daemon.startup import Start
from k1edge.genesis.playback import MapPlayer
from k1edge.genesis.score import Score, plain_score
from k1edge.k1.contract import Scribe
from k1edge.k1.link import Arrival, Identity, Link, Received
from k1edge.live import checkpoint
from k1edge.live.desk import RefusedError
from k1edge.pipeline import Pipeline
from k1edge.programs.replay import decided_anew
from tests.brokers import PATIENCE_S, eventually
from tests.failing import raising

RATE_HZ = 48_000
SONG = four_on_the_floor(126.0, 20.0, RATE_HZ)
BEATS_MS = [1000.0 * float(beat) for beat in SONG.truth.beats_s]
SCORE = Score(BEATS_MS, BEATS_MS[::4], [1.0] * len(BEATS_MS), [(0.0, "intro"), (4000.0, "drop")], [(4000.0, "drop", 0.9)])
NUMBERS = count(1)
EPOCH_MS = 1_795_000_000_000
STRETCH_MIN = 0.1


def fly(folder, samples, acts):
    """An edge hears `samples`, in a time of its own, and each of `acts` is done after so many hops; the file it saves."""
    now = SimpleNamespace(ns=0)

    def wall_ns():
        """Put right by 3 ms each second."""
        return EPOCH_MS * 1_000_000 + now.ns + now.ns // 1_000_000_000 * 3_000_000

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(folder))
        patch.setattr("k1edge.daemon.edge.time", SimpleNamespace(monotonic_ns=lambda: now.ns, time_ns=wall_ns))
        settings = Settings.model_validate({
            "site": "hall", "edge": "pi", "library": {"enabled": False}, "recorder": {"minutes": 4 * STRETCH_MIN},
        })  # fmt: skip
        link = Link(settings.mqtt, Identity("edge"))
        edge = Edge(Start(settings), link, Scribe("hall", "pi"), "boot")
        source = SynthSource(samples, RATE_HZ)
        edge.listen(source, "song")
        for hop, block in enumerate(source, 1):
            now.ns += 10_000_000
            edge.hear(block)
            for act in acts.get(hop, ()):
                act(edge, link)
            edge.attend()
        assert not edge._desk.rejected
        return edge.blackbox.save(wait=True)


def asked(verb, **args):
    number = next(NUMBERS)

    def act(edge, link):
        payload = json.dumps({"id": f"{number}", "caller": "ann", "args": args}).encode()
        link._deliver(Received(f"k1/v1/hall/edge/pi/request/{verb}", payload, Arrival(0)))

    return act


def deploy(start_ms=None):
    song = {"verb": "deploy", "track": "a" * 16, "version": 1, "score": plain_score(SCORE)}
    start = {} if start_ms is None else {"start_at_ms": float(EPOCH_MS + start_ms)}
    return lambda edge, link: edge.deploy(song | start)


def stop(edge, link):
    assert edge.deploy({"verb": "deploy.stop"}) == {"stopped": True}


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """Every correction, two of them between the same two hops."""
    return fly(tmp_path_factory.mktemp("corrected"), SONG.samples, {
        650: [asked("beat.nudge", ms=60.0)], 800: [asked("beat.this_is_one")], 950: [asked("tempo.halve")],
        1100: [asked("override.release")], 1150: [asked("tempo.double")], 1300: [asked("tempo.tap")],
        1350: [asked("tempo.tap")], 1400: [asked("tempo.tap")],
        1600: [asked("tempo.halve"), asked("beat.nudge", ms=-40.5)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def led(tmp_path_factory):
    """Maps that wait over the end of a stretch, lead, are replaced, called off, followed by the next, stopped, and heard to
    begin."""
    pause = np.zeros(2 * RATE_HZ, np.float32)
    samples = np.concatenate([SONG.samples[: 15 * RATE_HZ], pause, SONG.samples[: 7 * RATE_HZ]])
    return fly(tmp_path_factory.mktemp("led"), samples, {
        500: [deploy(6500)], 800: [deploy(7900)], 850: [stop], 870: [deploy(9500)], 900: [stop],
        1000: [deploy(0)], 1050: [deploy(11_500)], 1250: [stop], 1300: [deploy()],
    })  # fmt: skip


def by_hand(capsys):
    return re.findall("by hand: (.*)", capsys.readouterr().out)


def test_a_recording_in_which_people_put_the_beat_right_is_decided_anew_bit_for_bit_and_shows_it(corrected, capsys):
    assert main(["replay", corrected]) == 0
    assert by_hand(capsys) == ["nudge", "this_is_one", "halve", "release", "double", "tap", "tap", "tap", "halve", "nudge"]


def test_a_recording_in_which_maps_were_deployed_is_decided_anew_bit_for_bit_and_shows_it(led, capsys):
    assert main(["replay", led]) == 0
    assert by_hand(capsys) == ["deploy", "deploy", "stop", "deploy", "stop", "deploy", "deploy", "stop", "deploy"]


@pytest.mark.parametrize("flight", ["corrected", "led"])
def test_without_any_kind_of_thing_that_was_done_it_would_have_been_decided_otherwise(flight, request):
    _, *later = read(Path(request.getfixturevalue(flight)))  # in the first a map does no more than wait
    for stretch in later:
        kinds = {hop: checkpoint.loads(done)[0][0] for hop, done in stretch.acts.items()}
        for kind in set(kinds.values()):
            others = {hop: done for hop, done in stretch.acts.items() if kinds[hop] != kind}
            assert (decided_anew(replace(stretch, acts=others)) != stretch.decisions).any(), kind


def test_what_was_done_before_the_first_hop_of_a_stream_is_in_the_checkpoint_and_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    box, source = BlackBox(Settings(), "boot"), SynthSource(SONG.samples[:RATE_HZ], RATE_HZ)
    for _ in range(2):
        pipeline = Pipeline(Settings(), source.fmt)
        pipeline.act("deploy", MapPlayer(SCORE, source.fmt, 150.0, 0))
        for block in islice(source, 5):
            box.before(pipeline)
            box.after(pipeline.process(block))
    recording = box.save(wait=True)
    assert [(stretch.used, stretch.acts) for stretch in read(Path(recording))] == [(5, {}), (5, {})]
    assert main(["replay", recording]) == 0


def test_one_recording_is_written_at_a_time_and_the_next_when_it_is_there(tmp_path, monkeypatch):
    written, slow_card = [], Event()

    def write(contents, folder, name):
        slow_card.wait(PATIENCE_S)
        written.append(str(folder / f"{name}.k1rec"))

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("k1edge.daemon.recorder.save", write)
    box = BlackBox(Settings(), "boot")
    first = box.save()
    for _ in range(90):
        with pytest.raises(RefusedError, match="is being written") as refused:
            box.save()
        assert refused.value.code == "NOT_READY"
    slow_card.set()
    eventually(lambda: written == [first] and box._writer.wait(0))
    second = box.save()
    eventually(lambda: written == [first, second])


def test_a_recording_of_the_end_does_not_wait_for_one_that_was_asked_for(tmp_path, monkeypatch):
    written, slow_card = [], Event()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    box = BlackBox(Settings(), "boot")
    monkeypatch.setattr("k1edge.daemon.recorder.save", lambda *_: slow_card.wait(PATIENCE_S))
    box.save()
    monkeypatch.setattr("k1edge.daemon.recorder.save", lambda *_: written.append("the end"))
    box.save(wait=True)
    slow_card.set()
    assert written == ["the end"]


def test_a_state_folder_that_cannot_be_looked_at_keeps_no_edge_from_its_light(monkeypatch):
    monkeypatch.setattr(Path, "glob", raising(OSError(errno.EIO, "Input/output error")))
    assert BlackBox(Settings(), "boot").is_on
