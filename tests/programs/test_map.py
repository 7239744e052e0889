import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from k1edge import __main__ as door
from k1edge.genesis.document import encode, seal
from tests.failing import full
from tests.genesis.songs import DIALECTS, changed, song_v4
from tests.in_terminal import no_reader


@pytest.fixture
def files(tmp_path):
    paths = {"v4.0.0": tmp_path / "v4.json"}
    paths["v4.0.0"].write_bytes(encode(seal(song_v4())))
    for name, document in DIALECTS.items():
        paths[name] = tmp_path / f"{name}.json"
        paths[name].write_text(json.dumps(document))
    return {name: str(path) for name, path in paths.items()}


def test_valid_maps_of_every_dialect_are_named(files, capsys):
    assert door.main(["map", "validate", *files.values()]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in said] == [f"valid {name}" for name in files]


def test_every_fault_of_a_bad_map_is_printed_with_its_path(tmp_path, capsys):
    bad = changed(changed(song_v4(), ("global_metrics", "bpm"), 900), ("metadata", "filename"), 5)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(bad))
    assert door.main(["map", "validate", str(path)]) == 1
    said = capsys.readouterr().err
    assert "$.global_metrics.bpm" in said and "$.metadata.filename" in said and "Traceback" not in said
    assert door.main(["map", "validate", "--json", str(path)]) == 1
    assert {fault["path"] for fault in json.loads(capsys.readouterr().out)["faults"]} == {
        "$.global_metrics.bpm",
        "$.metadata.filename",
    }


def test_a_map_is_shown_and_drawn(files, tmp_path, capsys):
    picture = tmp_path / "song.png"
    assert door.main(["map", "show", files["v4.0.0"], "--plot", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "120.0" in said and "\nsections  " in said and "intro" in said and "not known" in said
    assert not set("[]'") & set(said), "lists are told in words"
    with Image.open(picture) as image:
        assert image.size == (1800, 1000)
    assert door.main(["map", "show", "--json", files["v3"]]) == 0
    assert json.loads(capsys.readouterr().out)["beats"] == 3


def test_a_picture_that_cannot_be_made_is_refused_in_words(files, tmp_path, monkeypatch, capsys):
    assert door.main(["map", "show", files["v3"], "--plot", str(tmp_path / "no" / "song.png")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "k1edge.programs.plot", raising=False)
    assert door.main(["map", "show", files["v3"], "--plot", str(tmp_path / "song.png")]) == 2
    assert "pip install pillow" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["v3", "v3-advanced", "v4-flat", "v4-camel"])
def test_a_map_is_converted_up_and_down_again(files, tmp_path, capsys, name):
    up, down = tmp_path / "up.json", tmp_path / "down.json"
    assert door.main(["map", "convert", files[name], "-o", str(up)]) == 0
    assert door.main(["map", "convert", str(up), "--to", name, "-o", str(down)]) == 0
    back = json.loads(down.read_text())
    if name == "v4-camel":
        back["metadata"]["hashes"]["mapSha256"] = "0" * 64
    assert back == DIALECTS[name]


def test_a_map_is_written_through_a_link_and_into_a_pipe_which_stay_what_they_are(files, tmp_path):
    behind, link, pipe = tmp_path / "behind.json", tmp_path / "link.json", tmp_path / "pipe"
    behind.write_text("old")
    link.symlink_to(behind)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for target in (link, pipe):
        assert door.main(["map", "convert", files["v3"], "-o", str(target)]) == 0
    assert link.is_symlink() and pipe.is_fifo()
    assert json.loads(behind.read_text()) == json.loads(os.read(reader, 1 << 16))
    os.close(reader)


def test_a_full_disk_leaves_no_half_map_and_is_told_of_the_file_that_was_asked_for(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / "new" / "map.json"
    assert door.main(["map", "convert", files["v3"], "-o", str(target)]) == 1
    assert capsys.readouterr().err == f"k1edge map: {target}: No space left on device\n"
    assert not list(target.parent.iterdir())


def test_what_a_dialect_cannot_say_is_told(files, capsys):
    assert door.main(["map", "convert", files["v4.0.0"], "--to", "v3"]) == 0
    printed = capsys.readouterr()
    assert any(line.startswith("k1edge map: v3 has no place for annotations: ") and "sections" in line
               for line in printed.err.splitlines())
    assert json.loads(printed.out)["metadata"]["version"] == "v3.0"


def test_what_is_mended_and_thinned_on_the_way_is_told(files, tmp_path, capsys):
    seconds, large = song_v4(), DIALECTS["v3"]
    seconds["layers"]["rhythm"] |= {"beat_grid_ms": [0.5 * n for n in range(1, 30)], "downbeat_ms": [], "beat_strength": []}
    points = [{"time_ms": 0.1 * n, "intensity": 0.123} for n in range(20_000)]
    large = changed(large, ("layers", "frequency"), dict.fromkeys(("bass", "mids", "highs"), points))
    told = []
    for document in (seconds, large):
        (tmp_path / "map.json").write_text(json.dumps(document))
        assert door.main(["map", "convert", str(tmp_path / "map.json"), "-o", str(tmp_path / "new.json")]) == 0
        told.append(capsys.readouterr().err)
    kept = 3 * len(json.loads((tmp_path / "new.json").read_text())["layers"]["frequency"]["bass"])
    assert told == [
        "k1edge map: the beats were in seconds\n",
        f"k1edge map: of 60000 points of its bands {kept} are kept: a map takes 2 MB\n",
    ]


def test_a_dialect_that_is_not_known_is_answered_with_those_that_are(files, capsys):
    assert door.main(["map", "convert", files["v4.0.0"], "--to", "v5"]) == 2
    assert "v3, v3-advanced, v4.0.0" in capsys.readouterr().err.replace("'", "")  # before Python 3.12, argparse quotes them


def test_a_reader_that_leaves_early_is_no_fault_of_a_map(files, capsys):
    with no_reader():
        assert door.main(["map", "show", files["v4.0.0"]]) == 0
    assert capsys.readouterr().err == ""


def test_maps_after_one_that_is_not_there_are_validated_all_the_same(files, tmp_path, capsys):
    missing = str(tmp_path / "none.json")
    assert door.main(["map", "validate", missing, files["v4.0.0"]]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{files['v4.0.0']}: valid") and "none.json: invalid, 1 fault" in printed.err


def test_two_maps_are_compared(files, tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_bytes(encode(seal(song_v4(30, 530.0))))
    assert door.main(["map", "diff", files["v4.0.0"], str(other)]) == 0
    assert "32 -> 30" in capsys.readouterr().out
    assert door.main(["map", "diff", "--json", files["v4.0.0"], files["v4.0.0"]]) == 0
    same = json.loads(capsys.readouterr().out)
    assert (same["beat_f_measure"], same["moved_beats"], same["changed"]) == (1.0, 0, [])


def test_what_was_put_right_within_a_beat_or_in_the_form_is_a_difference(files, tmp_path, capsys):
    song, other = song_v4(), tmp_path / "other.json"
    layers = song["layers"]
    layers["rhythm"]["beat_grid_ms"] = [at - 60 for at in layers["rhythm"]["beat_grid_ms"]]
    layers["annotations"]["drops"][0]["at_ms"] = 3500.0
    layers["annotations"]["sections"][0]["start_ms"] = 500.0
    layers["unheard_of"] = [1, 2]
    layers["annotations"] |= {"key": {"tonic": "F#", "mode": "minor", "confidence": 0.9}, "chords": []}
    other.write_bytes(encode(seal(song)))
    assert door.main(["map", "diff", "--json", files["v4.0.0"], str(other)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["matched_beats"], found["moved_beats"], found["moved_by_ms"]) == (32, 32, -60.0)
    assert (found["key"], found["drops_ms"], found["section_starts_ms"]) == (
        [None, "F# minor"], [[4000.0], [3500.0]], [[0.0], [500.0]],
    )  # fmt: skip
    assert found["changed"] == [
        "annotations.chords", "annotations.drops", "annotations.key", "annotations.sections", "rhythm.beat_grid_ms",
        "unheard_of",
    ]  # fmt: skip
    assert door.main(["map", "diff", files["v4.0.0"], str(other)]) == 0
    assert "rhythm.beat_grid_ms, unheard_of\n" in capsys.readouterr().out


def test_a_map_is_read_from_standard_input(files, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(DIALECTS["v3"]).encode())))
    assert door.main(["map", "show", "-"]) == 0
    assert "kitchen.wav" in capsys.readouterr().out


def test_a_map_that_windows_has_written_is_read(files, tmp_path, capsys):
    (tmp_path / "mark.json").write_bytes(b"\xef\xbb\xbf" + Path(files["v3"]).read_bytes())
    assert door.main(["map", "validate", str(tmp_path / "mark.json")]) == 0


@pytest.mark.parametrize("verb", [["show", "bad.json"], ["convert", "bad.json"], ["diff", "{good}", "bad.json"]])
def test_which_map_is_bad_is_told(files, tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{}")
    assert door.main(["map", *(word.format(good=files["v4.0.0"]) for word in verb)]) == 1
    assert capsys.readouterr().err.startswith("bad.json: invalid, 1 fault\n  $: has none of")


def test_the_schema_is_printed(capsys):
    assert door.main(["map", "schema"]) == 0
    assert "beat_grid_ms" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["show", "none.json"], ["convert", "none.json"], ["diff", "none.json", "none.json"]])
def test_a_map_that_is_not_there_is_said_without_a_traceback(verb, capsys):
    assert door.main(["map", *verb]) == 1
    assert "No such file" in capsys.readouterr().err
