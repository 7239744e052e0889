"""`k1edge replay`: a flight is decided anew, and shown."""

import re
from functools import partial

import pytest

from k1edge.__main__ import main
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.daemon import recorder
from k1edge.daemon.recorder import Recorder, save
from k1edge.live import checkpoint
from k1edge.pipeline import Pipeline
from tests.in_terminal import no_reader
from tests.music import FMT, frame


@pytest.fixture(scope="module")
def flight():
    """Twelve seconds of music, recorded as the edge does, in stretches of 3 s."""
    song = four_on_the_floor(126.0, 12.0, 48_000)
    source = SynthSource(song.samples, song.rate_hz)
    pipeline, box = Pipeline(Settings(), source.fmt), Recorder(minutes=0.2)
    for block in source:
        if box.wants_checkpoint:
            box.begin(partial(checkpoint.dumps, pipeline))
        box.add(pipeline.process(block))
    return box


@pytest.fixture
def saved(flight, tmp_path):
    return save(flight.contents(), tmp_path / "state", "flight")


def test_a_replay_decides_the_same_bit_for_bit_and_shows_it(saved, capsys):
    assert main(["replay", str(saved), "--beats"]) == 0
    said = capsys.readouterr()
    assert "identical" in said.err
    assert "beat 5 in bar" in said.out
    tempi_bpm = [float(bpm) for bpm in re.findall(r"([0-9.]+) BPM", said.out)]
    assert tempi_bpm and tempi_bpm == pytest.approx([126] * len(tempi_bpm), rel=0.03)


def test_a_replay_tells_when_the_decisions_differ(flight, tmp_path, capsys):
    stretches = list(flight._stretches)
    stretches[1].decisions["tempo_bpm"][7] += 1e-9
    try:
        assert main(["replay", str(save(flight.contents(), tmp_path, "x"))]) == 1
    finally:
        stretches[1].decisions["tempo_bpm"][7] -= 1e-9
    assert "1 of 1200 hops decided differently" in capsys.readouterr().err


def test_of_a_recording_of_other_code_what_was_decided_can_be_shown_and_is_named(tmp_path, capsys):
    pipeline, box = Pipeline(Settings(), FMT), Recorder(minutes=0.1)
    del pipeline.tracker._hops  # as where code of before did not have it
    box.begin(partial(checkpoint.dumps, pipeline))
    box.add(frame(0))
    path = str(save(box.contents(), tmp_path, "x"))
    assert main(["replay", path]) == 65
    assert "--recorded" in capsys.readouterr().err
    assert main(["replay", path, "--recorded"]) == 0


def test_what_was_recorded_can_be_shown_without_deciding(saved, capsys):
    assert main(["replay", str(saved), "--recorded"]) == 0
    assert "look" in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_fault_of_a_recording(saved, capsys):
    with no_reader():
        assert main(["replay", str(saved), "--recorded"]) == 0
    assert capsys.readouterr().err == ""


def test_a_recording_of_before_it_was_noted_what_people_do_is_refused(saved, capsys):
    saved.write_bytes(saved.read_bytes().replace(b', "acts": []', b"").replace(recorder.MAGIC, b"K1REC2\n"))
    assert main(["replay", str(saved)]) == 65
    assert "not a recording of this version" in capsys.readouterr().err


def test_a_recording_that_is_damaged_is_refused_in_words(saved, capsys):
    saved.write_bytes(saved.read_bytes()[:-1000])
    assert main(["replay", str(saved)]) == 65
    assert "ends too early" in capsys.readouterr().err
    assert main(["replay", str(saved.with_name("missing"))]) == 66
    assert capsys.readouterr().err.endswith("missing: No such file or directory\n")
