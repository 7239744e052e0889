import json
import math
import os
import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k1edge.genesis.codec import fit, map_sha256, read_json, write_json
from k1edge.genesis.document import HEAD_BYTES, GenesisMap, encode, plain, seal, validate
from k1edge.genesis.faults import MapError
from tests.genesis.songs import changed, damaged, own_map, song_v4

FUZZ_EXAMPLES = int(os.environ.get("K1EDGE_FUZZ", "1000"))
SCHEMA = Path(__file__).parents[2] / "docs" / "genesis-map-4.0.0.schema.json"
SMALL = song_v4(beats=4)
for _band in ("bass", "mids", "highs"):
    del SMALL["layers"]["frequency"][_band][3:]


def faults_of(document) -> list[str]:
    with pytest.raises(MapError) as caught:
        validate(document)
    return [str(fault) for fault in caught.value.faults]


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


def test_a_good_map_is_read_back_as_it_was_written():
    song = own_map()
    assert validate(read_json(encode(song))) == song


def test_every_fault_is_named_with_its_path():
    broken = changed(song_v4(), ("global_metrics", "bpm"), 301.0)
    broken = changed(broken, ("layers", "frequency", "bass", 7, "intensity"), 1.5)
    broken = changed(broken, ("layers", "frequency", "mids"), [])
    broken = changed(broken, ("metadata", "hashes", "audio_sha256"), ...)
    broken = changed(broken, ("global_metrics", "f_measure"), "0.9")
    paths = {fault.split(":")[0] for fault in faults_of(broken)}
    assert paths == {
        "$.global_metrics.bpm",
        "$.layers.frequency.bass[7].intensity",
        "$.layers.frequency.mids",
        "$.metadata.hashes.audio_sha256",
        "$.global_metrics.f_measure",
    }


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("layers", "rhythm", "beat_grid_ms"), [], "1 or more items, not 0"),
        (("layers", "rhythm", "beat_grid_ms"), [500.0, 500.0], "times must rise"),
        (("layers", "rhythm", "downbeat_ms"), [1000.0, 500.0], "times must rise"),
        (("layers", "frequency", "bass"), [{"time_ms": 9.0, "intensity": 0.5}] * 2, "times must rise"),
        (("layers", "rhythm", "beat_grid_ms"), [0.5 * n for n in range(1, 33)], "looks like seconds"),
        (("layers", "rhythm", "beat_strength"), [0.5], "has 1 values for 32 beats"),
        (("layers", "rhythm", "downbeat_ms"), [90_000.0], "past the end"),
        (("layers", "frequency", "highs"), [{"time_ms": 90_000.0, "intensity": 0.5}], "past the end"),
        (("layers", "frequency", "highs", 0), {"time_ms": 0.0, "intensity": 0.5, "x": 1}, "is not known here"),
        (("global_metrics", "duration_ms"), 0.0, "must be more than 0"),
        (("global_metrics", "bpm"), True, "must be a number"),
        (("metadata", "version"), "4.0.1", "must match"),
        (("metadata", "timestamp_utc"), "yesterday", "ISO 8601"),
        (("metadata", "analysis_config"), {"note": "x" * HEAD_BYTES}, "a K1 reads"),
        (("metadata", "analysis_config"), {"gain": float("nan")}, "not finite"),
        (("metadata", "analysis_config"), read_json(b'{"gain":1e999}'), "not finite"),
        (("metadata", "analysis_config"), {"serial": 2**60}, "beyond 2^53"),
        (("metadata", "analysis_config"), {"when": {1, 2}}, "JSON cannot"),
        (("metadata", "analysis_config"), {"name": "\udc80"}, "surrogate"),
        (("layers", "annotations", "sections", 0, "end_ms"), -1.0, "must be at least 0"),
        (("layers", "annotations", "sections", 0, "start_ms"), 5000.0, "ends before it starts"),
        (("layers", "annotations", "drops", 0, "colour"), nested(18), "deeper than"),
    ],
)
def test_each_rule_is_enforced(path, value, complaint):
    document = song_v4()
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    assert complaint in " ".join(faults_of(document))


def test_one_changed_number_breaks_the_seal_of_our_own_maps():
    document = plain(own_map())
    document["layers"]["rhythm"]["beat_strength"][3] = 0.55
    assert faults_of(document) == [
        "$.metadata.hashes.map_sha256: does not match the content: changed or damaged"
    ]


def test_the_hash_does_not_depend_on_key_order_spaces_or_a_trailing_point_nought():
    document = plain(own_map())
    shuffled = json.loads(json.dumps(document, sort_keys=True, indent=3))
    whole = json.loads(re.sub(r"(\d)\.0\b", r"\1", json.dumps(document)))
    assert map_sha256(document) == map_sha256(shuffled) == document["metadata"]["hashes"]["map_sha256"]
    assert validate(shuffled | {"global_metrics": whole["global_metrics"], "layers": whole["layers"]})


def test_unknown_keys_are_kept_behind_the_known_ones():
    document = song_v4()
    document["layers"] = {"colour": {"hue": 3}} | document["layers"]
    written = plain(validate(document))["layers"]
    assert written["colour"] == {"hue": 3}
    assert list(written)[:2] == ["rhythm", "frequency"]


def test_metadata_metrics_and_rhythm_come_first_and_time_before_intensity():
    shuffled = json.loads(json.dumps(plain(own_map()), sort_keys=True))
    text = encode(seal(shuffled)).decode()
    order = ["metadata", "global_metrics", "rhythm", "beat_grid_ms", "bass", "mids", "highs", "annotations"]
    places = [text.index(f'"{name}"') for name in order]
    assert places == sorted(places)
    assert text.index('"layers"') < HEAD_BYTES
    assert not re.search(r'"intensity":[^,}]*,"time_ms"', text)


def on_device_bands(text: str) -> dict[str, list[tuple[float, float]]]:
    """What a K1's file decoder finds: the band last named in the 100 characters before `time_ms`, else as before."""
    bands, band = {"bass": [], "mids": [], "highs": []}, None
    for match in re.finditer(r'"time_ms":([\d.e+-]+)', text):
        names = re.findall(r'"(bass|mids|highs)"', text[max(0, match.start() - 100) : match.start()])
        band = names[-1] if names else band
        after = re.match(r',"intensity":([\d.e+-]+)', text[match.end() : match.end() + 200])
        assert after, "a time without an intensity"
        bands[band].append((float(match[1]), float(after[1])))
    return bands


def test_the_decoder_of_a_k1_finds_each_band_whole():
    song = own_map()
    found = on_device_bands(encode(song).decode())
    for band, points in found.items():
        assert points == [(p["time_ms"], p["intensity"]) for p in getattr(song.layers.frequency, band)]


def test_a_long_song_is_thinned_to_the_limit_and_keeps_its_peaks():
    document = song_v4()
    document["global_metrics"]["duration_ms"] = 400_000.0
    points = [{"time_ms": 20.0 * n, "intensity": 1.0 if n % 997 == 0 else 0.3} for n in range(20_000)]
    for band in ("bass", "mids", "highs"):
        document["layers"]["frequency"][band] = points
    song = seal(document, max_bytes=500_000)
    assert 250_000 < len(encode(song)) <= 500_000
    kept = {p["time_ms"] for p in song.layers.frequency.bass if p["intensity"] == 1.0}
    assert kept == {20.0 * n for n in range(0, 20_000, 997)}


def test_a_map_takes_two_megabytes_at_most():
    document = song_v4()
    document["global_metrics"]["duration_ms"] = 500_000.0
    points = [{"time_ms": 20.0 * n, "intensity": 0.3} for n in range(25_000)]
    document["layers"]["frequency"] = dict.fromkeys(("bass", "mids", "highs"), points)
    assert 1_000_000 < len(encode(seal(document))) <= 2_000_000


@pytest.mark.parametrize(("max_bytes", "whole"), [(1_000_000, True), (100_000, False)])
def test_the_curve_of_loudness_of_a_long_song_is_thinned_as_soon_as_it_is_denser_than_the_bands(max_bytes, whole):
    document = song_v4()
    document["global_metrics"]["duration_ms"] = 400_000.0
    points = [{"time_ms": 20.0 * n, "intensity": 0.3} for n in range(20_000)]
    document["layers"]["frequency"] = dict.fromkeys(("bass", "mids", "highs"), points)
    curve = {"at_ms": [100.0 * n for n in range(4_000)], "level": [n / 4_000 for n in range(4_000)]}
    document["layers"]["dynamics"] = {"average": 0.1, "rms_curve": curve}
    song = seal(document, max_bytes=max_bytes)
    thinned = song.layers.dynamics["rms_curve"]
    assert len(encode(song)) <= max_bytes and song.layers.dynamics["average"] == 0.1
    assert (len(thinned["level"]) == 4_000) is whole
    assert 500 < len(thinned["level"]) <= len(song.layers.frequency.bass)
    assert thinned["level"] == [at_ms / 400_000 for at_ms in thinned["at_ms"]]


def test_a_map_that_is_large_without_its_envelopes_is_refused():
    with pytest.raises(MapError, match="without its envelopes"):
        fit(song_v4(), max_bytes=900)


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":NaN}', b"\xff", b'"\\ud800"', b"[" * 100_000])
def test_what_is_not_json_is_a_fault_and_not_a_traceback(text):
    with pytest.raises(MapError) as caught:
        validate(read_json(text))
    assert caught.value.faults[0].path == "$"


def obeys_every_rule(document: dict) -> None:
    """The rules once more, written independently of the model."""
    metrics, layers = document["global_metrics"], document["layers"]
    rhythm, end_ms = layers["rhythm"], metrics["duration_ms"] + 1000
    assert metrics["duration_ms"] > 0 and 0 < metrics["bpm"] <= 300
    assert 0 <= metrics["f_measure"] <= 1 and 0 <= metrics["cemgil"] <= 1
    assert rhythm["beat_grid_ms"]
    for times in (rhythm["beat_grid_ms"], rhythm.get("downbeat_ms", [])):
        assert all(0 <= t <= end_ms for t in times) and all(a < b for a, b in pairwise(times))
    strengths = rhythm.get("beat_strength", [])
    assert all(0 <= s <= 1 for s in strengths) and len(strengths) in (0, len(rhythm["beat_grid_ms"]))
    for band in ("bass", "mids", "highs"):
        points = layers["frequency"][band]
        assert points and all(set(p) == {"time_ms", "intensity"} for p in points)
        assert all(0 <= p["time_ms"] <= end_ms and 0 <= p["intensity"] <= 1 for p in points)
        assert all(a["time_ms"] < b["time_ms"] for a, b in pairwise(points))
    for name in ("audio_sha256", "map_sha256"):
        assert re.fullmatch("[0-9a-f]{64}", document["metadata"]["hashes"][name])
    assert document["metadata"]["version"] == "4.0.0"
    assert all(math.isfinite(number) for number in numbers(document))


def numbers(value) -> list[float]:
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in numbers(item)]
    return [value] if isinstance(value, int | float) else []


JSON_SCHEMA = jsonschema.Draft202012Validator(GenesisMap.model_json_schema())


@settings(max_examples=FUZZ_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(damaged(SMALL))
def test_no_damaged_map_brings_a_traceback_or_is_accepted_against_a_rule(document):
    try:
        song = validate(document)
    except MapError as error:
        assert all(fault.path.startswith("$") and fault.problem for fault in error.faults)
        return
    obeys_every_rule(document)
    assert JSON_SCHEMA.is_valid(document)
    assert plain(validate(read_json(encode(song)))) == plain(song)


@settings(max_examples=200)
@given(st.binary(max_size=60) | damaged(SMALL, most=1).map(lambda d: json.dumps(d, default=str).encode()[:-3]))
def test_no_bytes_bring_a_traceback(text):
    with pytest.raises(MapError):
        validate(read_json(text))


def test_the_committed_schema_is_the_one_of_the_model():
    """Renew it with `k1edge map schema > docs/genesis-map-4.0.0.schema.json`."""
    assert json.loads(SCHEMA.read_text()) == GenesisMap.model_json_schema()


def test_written_json_is_refused_rather_than_written_with_nan():
    with pytest.raises(ValueError):
        write_json({"a": math.nan})
