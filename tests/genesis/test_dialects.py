import copy
import os
from functools import reduce
from operator import getitem

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k1edge.genesis.dialects import Dialect, convert, detect, losses, read
from k1edge.genesis.document import plain, seal, validate
from k1edge.genesis.faults import MapError
from tests.genesis.songs import CAMEL, DIALECTS, FLAT, V3, V3_ADVANCED, changed, damaged, song_v4

FUZZ_EXAMPLES = int(os.environ.get("K1EDGE_FUZZ", "600"))


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_is_recognised(name):
    assert detect(DIALECTS[name]) == name


def test_v4_is_recognised():
    assert detect(song_v4()) is Dialect.V4


@pytest.mark.parametrize("stranger", [[], 3, None, {}, {"layers": {}}])
def test_a_document_of_no_dialect_is_a_fault(stranger):
    with pytest.raises(MapError):
        read(stranger)


@pytest.mark.parametrize("name", DIALECTS)
def test_there_and_back_gives_the_same_document(name):
    document = copy.deepcopy(DIALECTS[name])
    back = convert(read(document).song, Dialect(name))
    if name == "v4-camel":
        back["metadata"]["hashes"].pop("mapSha256")
        document["metadata"]["hashes"].pop("mapSha256")
    assert back == document


@pytest.mark.parametrize("name", DIALECTS)
def test_a_converted_map_is_valid_and_sealed(name):
    song = read(DIALECTS[name]).song
    assert validate(plain(song)) == song


def test_v4_survives_the_way_through_its_camel_case_twin():
    song = seal(song_v4())
    back = read(convert(song, Dialect.CAMEL)).song
    assert plain(back)["layers"] == plain(song)["layers"]
    assert losses(song, Dialect.CAMEL) == []


def test_v3_cuts_its_tempo_off_as_its_engine_did():
    song = read(changed(song_v4(), ("global_metrics", "bpm"), 123.989)).song
    assert convert(song, Dialect.V3)["global_metrics"]["bpm"] == 123
    assert convert(song, Dialect.V3_ADVANCED)["global_metrics"]["bpm"] == 123.989


def test_what_v3_cannot_say_is_listed():
    lost = losses(seal(song_v4()), Dialect.V3)
    assert {"$.layers.annotations.sections", "$.layers.rhythm.downbeat_ms", "$.metadata.hashes.audio_sha256"} <= set(lost)
    assert "$.layers.rhythm.beat_grid_ms" not in lost


def test_what_was_never_known_is_not_lost():
    silent = changed(song_v4(), ("layers", "rhythm", "downbeat_ms"), [])
    lost = losses(seal(changed(silent, ("metadata", "hashes", "audio_sha256"), "0" * 64)), Dialect.V3)
    assert not {"$.layers.rhythm.downbeat_ms", "$.metadata.hashes.audio_sha256"} & set(lost)


def test_the_flat_form_is_said_to_have_no_bands():
    assert "$.layers.frequency.bass" in losses(seal(song_v4()), Dialect.FLAT)
    assert not [path for path in losses(read(FLAT).song, Dialect.FLAT) if "frequency" in path]


def test_no_accuracy_is_invented():
    song = read(V3_ADVANCED).song
    assert song.global_metrics.f_measure == song.global_metrics.cemgil == 0.0
    assert song.layers.annotations.f_measure_known is False


def test_an_unknown_audio_hash_and_unknown_bands_are_marked():
    annotations = plain(read(FLAT).song)["layers"]["annotations"]
    assert annotations["audio_sha256_known"] is False
    assert annotations["bands_known"] is False


def test_the_seconds_of_flat_drops_become_ms():
    annotations = read(FLAT).song.layers.annotations
    assert [drop.at_ms for drop in annotations.drops] == [60_125.0]
    assert [(build.start_ms, build.end_ms) for build in annotations.builds] == [(52_250.0, 59_750.0)]


def test_flat_drops_that_are_ms_already_stay():
    in_ms = changed(FLAT, ("drops", "events", 1, "timestamp"), 60_012.5)
    assert [drop.at_ms for drop in read(in_ms).song.layers.annotations.drops] == [60_012.5]


def test_a_flat_name_of_a_key_is_spelt_with_sharps():
    assert read(changed(FLAT, ("harmony", "key"), "Bb Major")).song.layers.annotations.key.tonic == "A#"


@pytest.mark.parametrize("duration_ms", [2400, 2.4])
def test_a_grid_in_seconds_is_mended_and_said(duration_ms):
    slow = changed(V3, ("layers", "rhythm", "beat_grid_ms"), [0.6, 1.2005, 1.8])
    reading = read(changed(slow, ("global_metrics", "duration_ms"), duration_ms))
    assert reading.song.layers.rhythm.beat_grid_ms == [600.0, 1200.5, 1800.0]
    assert reading.song.global_metrics.duration_ms == 2400.0
    assert "in seconds" in reading.notes[0]


def test_v4_in_seconds_is_mended_too():
    document = song_v4()
    for key in ("beat_grid_ms", "downbeat_ms"):
        document["layers"]["rhythm"][key] = [t / 1000 for t in document["layers"]["rhythm"][key]]
    assert read(document).song.layers.rhythm.beat_grid_ms == song_v4()["layers"]["rhythm"]["beat_grid_ms"]


def test_a_fault_of_an_old_map_is_named_by_its_own_path():
    with pytest.raises(MapError) as caught:
        read(changed(FLAT, ("beats", "beat_times_ms", 2), "soon"))
    assert caught.value.faults[0].path == "$.beats.beat_times_ms[2]"


@settings(max_examples=FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([V3, V3_ADVANCED, FLAT, CAMEL, song_v4(4)]).flatmap(lambda d: damaged(d, most=2)))
def test_no_damaged_dialect_brings_a_traceback(document):
    try:
        reading = read(document)
    except MapError as error:
        assert error.faults
        return
    assert validate(plain(reading.song)) == reading.song


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (("metadata", "analysis_config", "sr"), "44100"),
        (("metadata", "analysis_config", "sr"), 44_100.5),
        (("layers", "rhythm", "onset_times_ms"), {"a": 1}),
        (("layers", "rhythm", "onset_times_ms"), ["soon"]),
        (("layers", "dynamics"), {"rms_curve": [1.0]}),
        (("layers", "dynamics"), {"rms_curve": {"at_ms": ["soon"], "level": [0.1]}}),
        (("layers", "annotations"), {"drops": [{"at_ms": 500.0, "confidence": 0.5, "type": "big", "timestamp": "noon"}]}),
        (("layers", "annotations"), {"chords": [{"label": "C", "start_ms": 0.0, "end_ms": 500.0, "chord": 1, "time_ms": ""}]}),
        (("record",), "gold"),
        (("layers", "dynamics"), {"rms_curve": [{"time_ms": 0.0, "level": 0.1}]}),
        (("layers", "dynamics"), {"rms_curve": "loud"}),
        (("layers", "dynamics"), {"rms_curve": {"at_ms": 3.0, "level": [0.1]}}),
        (("layers", "annotations"), {"flat": "from the mixer"}),
        (("layers", "annotations"), {"flat": {"harmony": [], "structure": None, "effects": {}}}),
    ],
)
def test_what_a_valid_map_holds_besides_keeps_no_dialect_from_writing_what_it_can_say(path, content):
    document = song_v4()
    *outer, last = path
    reduce(getitem, outer, document)[last] = content
    song = seal(document)
    for dialect in Dialect:
        losses(song, dialect)
        assert detect(convert(song, dialect)) is dialect


def test_a_curve_that_is_points_already_stays():
    points = [{"time_ms": 0.0, "level": 0.1}, {"time_ms": 100.0, "level": 0.3}]
    document = song_v4()
    document["layers"]["dynamics"] = {"rms_curve": points}
    assert convert(seal(document), Dialect.V3_ADVANCED)["layers"]["dynamics"]["rms_curve"] == points
