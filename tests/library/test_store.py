import json
import shutil
import sqlite3
from dataclasses import replace
from itertools import count

import pytest

from k1edge.genesis.document import encode, plain, seal
from k1edge.genesis.faults import MapError, MapFault
from k1edge.library import upkeep
from k1edge.library.database import transaction
from k1edge.library.errors import Code, LibraryError
from k1edge.library.revisions import diff, override, promote
from k1edge.library.search import Query
from k1edge.library.store import Library, TrackFacts
from k1edge.library.upkeep import delete, open_library, prune, restore, sweep, usage
from k1edge.whole import write_whole
from tests.failing import full, raising
from tests.genesis.songs import own_map as song


def facts(n: int = 1, **more) -> TrackFacts:
    return TrackFacts(**({"audio_sha256": f"{n:016x}" + "0" * 48, "filename": f"song {n}.flac"} | more))


def stored(library: Library, n: int = 1, **more) -> str:
    track_id = library.register(facts(n, **more))["id"]
    library.add_version(track_id, song(), "analysis")
    return track_id


@pytest.fixture
def track_id(library):
    """Of a song that has its map."""
    return stored(library)


def code_of(call, *args, **kwargs) -> Code:
    with pytest.raises(LibraryError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def test_a_map_is_read_back_as_it_was_stored(library, track_id):
    assert library.read(track_id) == song()
    assert library.get(track_id) | {"created_ms": 0, "updated_ms": 0} == {
        "id": track_id,
        "audio_sha256": track_id + "0" * 48,
        "filename": "song 1.flac",
        "title": "song 1",
        "artist": "",
        "tags": [],
        "preset": "default",
        "source": "file",
        "status": "ready",
        "version": 1,
        "duration_ms": 16_800.0,
        "bpm": 120.0,
        "f_measure": None,
        "pinned": False,
        "created_ms": 0,
        "updated_ms": 0,
        "deleted_ms": None,
        "override": None,
    }


def test_a_track_is_processing_until_it_has_a_map_and_keeps_it_when_a_later_job_fails(library):
    track_id = library.register(facts())["id"]
    assert library.get(track_id)["status"] == "processing"
    assert code_of(library.read, track_id) is Code.VERSION_NOT_FOUND
    library.set_status(track_id, "failed")
    assert library.get(track_id)["status"] == "failed"
    library.add_version(track_id, song(), "analysis")
    library.set_status(track_id, "failed")
    assert library.get(track_id)["status"] == "warning"


def test_the_same_audio_is_the_same_track(library):
    assert library.register(facts())["id"] == library.register(facts(filename="copy.flac"))["id"]
    assert library.search(Query()).total == 1


def test_one_job_makes_one_version(library):
    track_id = library.register(facts())["id"]
    assert library.add_version(track_id, song(), "analysis", job_id="j1") == 1
    assert library.add_version(track_id, song(33), "analysis", job_id="j1") == 1
    assert library.add_version(track_id, song(), "analysis", job_id="j2") == 2
    assert [version["n"] for version in library.versions(track_id)] == [2, 1]


def test_one_flipped_bit_is_noticed_quarantined_and_the_other_versions_still_serve(library, track_id):
    library.add_version(track_id, song(40), "analysis")
    path = library.path(track_id, 2)
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.write_bytes(damaged)
    assert [a["status"] for a in library.artefacts(track_id)] == ["damaged"]
    assert code_of(library.read, track_id) is Code.ARTIFACT_DAMAGED
    assert library.get(track_id)["status"] == "warning"
    assert len(list((library.root / "quarantine").glob("*.genesis.json"))) == 1
    assert library.read(track_id, 1) == song()
    assert code_of(library.read, track_id, 2) is Code.ARTIFACT_NOT_FOUND
    assert [a["status"] for a in library.artefacts(track_id)] == ["missing"]


def test_a_write_that_fails_leaves_no_version_behind(library, track_id, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("k1edge.library.files.os.fsync", full)
        library.add_version(track_id, song(40), "analysis")
    assert library.get(track_id)["version"] == 1
    assert library.read(track_id) == song()
    assert not list(library.root.rglob("*.tmp"))


def test_promote_makes_an_older_version_current_and_is_written_down(library, track_id):
    library.add_version(track_id, song(40, 400.0), "analysis")
    assert library.get(track_id)["bpm"] == 150.0
    promote(library, track_id, 1, by="ana")
    assert library.get(track_id)["bpm"] == 120.0
    assert library.read(track_id) == song()
    assert code_of(promote, library, track_id, 7, by="ana") is Code.VERSION_NOT_FOUND
    assert [(e["by"], e["action"], e["note"]) for e in library.history(track_id)] == [("ana", "version.promote", "v1")]


def test_diff_counts_what_changed(library, track_id):
    library.add_version(track_id, song(30, 530.0), "analysis")
    changes = diff(library, track_id, 1, 2)
    assert changes["bpm"] == [120.0, pytest.approx(113.2, abs=0.1)]
    assert changes["beats"] == [32, 30]
    assert 2 <= changes["matched_beats"] < 8
    assert diff(library, track_id, 1, 1)["beat_f_measure"] == 1.0


def test_an_override_is_a_new_version_and_rederives_what_depends_on_the_beats(library, track_id):
    late = [beat + 40.0 for beat in song().layers.rhythm.beat_grid_ms][:-2]
    assert override(library, track_id, by="ana", note="40 ms early", beats_ms=late) == 2
    revised = plain(library.read(track_id))["layers"]
    assert revised["rhythm"]["beat_grid_ms"] == late
    assert revised["rhythm"]["downbeat_ms"] == late[::4]
    assert len(revised["rhythm"]["beat_strength"]) == 30
    assert revised["annotations"]["drops"][0]["at_ms"] == 4040.0
    assert set(revised["annotations"]["tempo_curve"]["bpm"]) == {120.0}
    assert library.get(track_id)["override"]["by"] == "ana"
    assert library.read(track_id, 1) == song()
    override(library, track_id, by="ana", note="every second one", beats_ms=late[::2])
    assert (library.read(track_id).global_metrics.bpm, library.get(track_id)["bpm"]) == (60.0, 60.0)


def test_what_a_person_put_right_outlasts_another_analysis_and_can_be_given_up(library, track_id):
    override(library, track_id, by="ana", note="", ops=[{"op": "add", "at_ms": 250}])
    library.set_status(track_id, "processing")
    assert library.add_version(track_id, song(40), "analysis") == 3
    track = library.get(track_id)
    assert (track["version"], track["override"]["by"], track["status"]) == (2, "ana", "ready")
    promote(library, track_id, 3, by="ana")
    assert library.add_version(track_id, song(48), "analysis") == library.get(track_id)["version"] == 4


@pytest.mark.parametrize("noticed", [False, True])
def test_what_a_person_put_right_and_the_card_has_damaged_gives_way_to_another_analysis(library, track_id, noticed):
    override(library, track_id, by="ana", note="", ops=[{"op": "add", "at_ms": 250}])
    library.path(track_id, 2).write_bytes(b"worn out")
    if noticed:
        assert code_of(library.read, track_id) is Code.ARTIFACT_DAMAGED
    library.add_version(track_id, song(40), "analysis")
    assert library.get(track_id)["status"] == "ready" and library.read(track_id) == song(40)


def test_single_beats_are_added_moved_and_deleted(library, track_id):
    ops = [
        {"op": "delete", "at_ms": 1010.0},
        {"op": "move", "from_ms": 1500.0, "to_ms": 1530.0},
        {"op": "add", "at_ms": 250},
    ]
    override(library, track_id, by="ana", note="", ops=ops)
    assert library.read(track_id).layers.rhythm.beat_grid_ms[:4] == [250.0, 500.0, 1530.0, 2000.0]


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "delete", "at_ms": 750}],
        [{"op": "add", "at_ms": -5}],
        [{"op": "add", "at_ms": "soon"}],
        [{"op": "shift"}],
        ["delete"],
        [{"op": "add", "at_ms": 500.0}],
    ],
)
def test_an_impossible_edit_is_refused_and_changes_nothing(library, track_id, ops):
    with pytest.raises(MapError):
        override(library, track_id, by="ana", note="", ops=ops)
    assert library.get(track_id)["version"] == 1


def test_an_override_needs_a_list_or_operations(library, track_id):
    assert code_of(override, library, track_id, by="ana", note="") is Code.INVALID_REQUEST


def test_a_deleted_track_is_hidden_and_comes_back_within_30_s(library, track_id, clock, steady):
    until_ms = delete(library, track_id, by="ana")
    assert until_ms == round(clock.now_s * 1000) + 30_000
    assert code_of(library.get, track_id) is Code.TRACK_NOT_FOUND
    assert library.search(Query()).total == 0
    steady.now_s += 29.0
    assert sweep(library) == []
    restore(library, track_id, by="ana")
    assert library.read(track_id) == song()


def test_a_deleted_track_that_is_imported_again_is_there_and_stays(library, track_id, steady):
    delete(library, track_id, by="ana")
    assert library.register(facts())["deleted_ms"] is None
    steady.now_s += 30.5
    assert sweep(library) == [] and library.read(track_id) == song()


def test_after_30_s_a_deleted_track_is_gone_with_its_files(library, track_id, steady):
    delete(library, track_id, by="ana")
    steady.now_s += 30.5
    assert code_of(restore, library, track_id, by="ana") is Code.TOO_LATE
    assert sweep(library) == [track_id]
    assert not (library.root / "maps" / track_id).exists()
    assert library.search(Query(text="song")).total == 0
    assert code_of(restore, library, track_id, by="ana") is Code.TRACK_NOT_FOUND


@pytest.mark.parametrize("cut_at", ["rmtree", "transaction"])
def test_a_purge_that_a_power_cut_ended_is_done_again(library, steady, monkeypatch, cut_at):
    track_id = stored(library)
    delete(library, track_id, by="ana")
    steady.now_s += 30.5
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(upkeep, cut_at, raising(KeyboardInterrupt()))
        sweep(library)
    assert sweep(library) == [track_id]
    assert not list(library.root.glob("maps/*"))


def test_a_clock_that_is_put_right_neither_takes_nor_gives_time_to_change_ones_mind(library, track_id, clock, steady):
    delete(library, track_id, by="ana")
    clock.now_s += 400 * 86_400
    assert sweep(library) == []
    restore(library, track_id, by="ana")
    delete(library, track_id, by="ana")
    clock.now_s -= 400 * 86_400
    steady.now_s += 30.5
    assert sweep(library) == [track_id]


def test_what_was_deleted_before_a_restart_goes_30_s_after_it(library, track_id, steady):
    delete(library, track_id, by="ana")
    library.close()
    again = Library(library.root, steady=steady)
    assert sweep(again) == []
    steady.now_s += 30.5
    assert sweep(again) == [track_id]
    again.close()


def test_the_oldest_unpinned_go_first_when_space_runs_out(library, clock):
    ids = []
    for n in range(5):
        clock.now_s += 1
        ids.append(stored(library, n))
    library.add_version(ids[4], song(), "analysis")
    library.pin(ids[0], True, by="ana")
    size = len(encode(song()))
    library.limit_bytes = 3 * size
    assert prune(library) == [f"{ids[4]} v1", ids[1], ids[2]]
    assert usage(library)["used_bytes"] == 3 * size
    library.limit_bytes = 4 * size
    assert (usage(library)["used_pct"], usage(library)["warning"]) == (75.0, False)
    library.limit_bytes = round(3 * size / 0.81)
    assert (usage(library)["used_pct"], usage(library)["warning"]) == (81.0, True)
    assert {track["id"] for track in library.search(Query()).tracks} == {ids[0], ids[3], ids[4]}


def test_what_came_first_goes_first_whatever_the_clock_said(library, clock):
    ids = []
    for n in range(4):
        ids.append(stored(library, n))
        clock.now_s -= 86_400
    for n in (1, 0):
        library.add_version(ids[n], song(), "analysis")
        clock.now_s -= 86_400
    library.limit_bytes = 2 * len(encode(song()))
    assert prune(library) == [f"{ids[0]} v1", f"{ids[1]} v1", ids[2], ids[3]]


def test_what_a_person_put_right_goes_last_and_what_was_heard_on_the_line_first(library, monkeypatch):
    monkeypatch.setattr("k1edge.library.upkeep.HEARD_KEPT", 0)
    corrected, file = stored(library, 0), stored(library, 1)
    override(library, corrected, by="ana", note="", ops=[{"op": "add", "at_ms": 250}])
    heard = [stored(library, n, source="live") for n in (2, 3)]
    library.limit_bytes = 1
    assert prune(library) == [f"{corrected} v1", *heard, file, corrected]


def test_in_a_library_full_of_files_the_newest_songs_of_the_line_stay_and_the_oldest_file_goes(library, monkeypatch):
    monkeypatch.setattr("k1edge.library.upkeep.HEARD_KEPT", 2)
    heard = [stored(library, 0, source="live")]
    files = [stored(library, n) for n in (1, 2)]
    heard += [stored(library, n, source="live") for n in (3, 4)]
    library.limit_bytes = 3 * len(encode(song()))
    assert prune(library) == [heard[0], files[0]]


def test_of_songs_of_the_line_that_could_not_be_analysed_the_newest_stay_to_say_why(library, monkeypatch):
    monkeypatch.setattr("k1edge.library.upkeep.FAILED_KEPT", 2)
    heard = [library.register(facts(n, source="live"))["id"] for n in range(5)]
    mapped, file = stored(library, 5, source="live"), library.register(facts(6))["id"]
    library.pin(heard[1], True, by="ana")
    for track_id in (*heard[:4], mapped, file):
        library.set_status(track_id, "failed")
    assert prune(library) == [heard[0]]
    library.set_status(heard[4], "failed")
    assert prune(library) == [heard[2]]
    assert {track["id"] for track in library.search(Query()).tracks} == {heard[1], *heard[3:], mapped, file}


def test_pruning_stops_when_its_time_is_over_and_goes_on_the_next_time(library, monkeypatch):
    failed = [library.register(facts(n, source="live"))["id"] for n in range(upkeep.FAILED_KEPT + 1)]
    for track_id in failed:
        library.set_status(track_id, "failed")
    ids = [stored(library, n) for n in range(20, 24)]
    library.limit_bytes = 1
    monkeypatch.setattr(upkeep, "PRUNE_S", 2)
    monkeypatch.setattr(library, "steady_s", count().__next__)
    assert [prune(library) for _ in range(6)] == [[failed[0]], *([track_id] for track_id in ids), []]


def test_of_what_was_done_the_latest_stays_written_down(library, monkeypatch):
    monkeypatch.setattr("k1edge.library.upkeep.AUDIT_ROWS", 3)
    for n in range(9):
        library.audit("ana", f"{n}", None, "")
    prune(library)
    assert [entry["action"] for entry in library.history()] == ["8", "7", "6"]


def test_pruning_stops_at_what_is_pinned(library, track_id):
    library.add_version(track_id, song(), "analysis")
    library.pin(track_id, True, by="ana")
    library.limit_bytes = 1
    assert prune(library) == []
    assert library.read(track_id, 1) == library.read(track_id, 2) == song()


def test_a_damaged_index_is_built_anew_from_the_maps(tmp_path):
    library = open_library(tmp_path)
    track_id = library.register(TrackFacts(song().metadata.hashes.audio_sha256, "x.flac"))["id"]
    library.add_version(track_id, song(), "analysis")
    library.add_version(track_id, song(), "analysis")
    library.close()
    (tmp_path / "maps" / "strange" / "v1").mkdir(parents=True)
    (tmp_path / "maps" / "strange" / "v1" / "track.genesis.json").write_text("{")
    for file in tmp_path.glob("library.db*"):
        file.write_bytes(b"x" * 8192)
    rebuilt = open_library(tmp_path)
    assert rebuilt.read(track_id) == song()
    assert [version["n"] for version in rebuilt.versions(track_id)] == [2, 1]
    assert rebuilt.search(Query(text=rebuilt.get(track_id)["title"])).total == 1
    assert len(list((tmp_path / "quarantine").glob("*.faults.txt"))) == 1
    rebuilt.close()


def test_of_bad_maps_of_one_moment_none_takes_the_place_of_another_in_quarantine(library, tmp_path):
    for n in range(3):
        (tmp_path / "track.genesis.json").write_text(f"{n}")
        aside = library.quarantine(tmp_path / "track.genesis.json", [MapFault("$", f"fault {n}")])
        assert (aside.read_text(), aside.with_name(f"{aside.name}.faults.txt").read_text()) == (f"{n}", f"$: fault {n}")
    assert {path.read_text() for path in aside.parent.glob("*.json")} == {"0", "1", "2"}


def test_what_was_set_aside_is_counted_and_goes_before_any_track(library, clock):
    stored(library)
    size = usage(library)["used_bytes"]
    aside = []
    for _ in range(3):
        clock.now_s += 1
        (library.root / "bad.json").write_bytes(b"x" * size)
        aside.append(library.quarantine(library.root / "bad.json", [MapFault("$", "fault")]))
    told = usage(library)
    assert (told["quarantined"], told["used_bytes"]) == (3, 4 * size + 3 * len("$: fault"))
    assert prune(library) == []
    assert usage(library) == told, "there is room"
    library.limit_bytes = 3 * size
    assert prune(library) == []
    assert (usage(library)["quarantined"], usage(library)["used_bytes"] <= 3 * size) == (1, True)
    assert [path.exists() for path in aside] == [False, False, True]


def test_what_cannot_be_removed_from_quarantine_keeps_no_track_from_going(library):
    stored(library)
    (library.root / "quarantine" / "somebody's").mkdir(parents=True)
    library.limit_bytes = 1
    assert len(prune(library)) == 1


@pytest.fixture
def indexed(tmp_path):
    """A library's folder with two tracks: the first version of one is a map of other audio, that of the other was pruned."""
    library = open_library(tmp_path)
    for n in range(2):
        document = plain(song())
        document["metadata"]["hashes"]["audio_sha256"] = facts(n).audio_sha256
        stored(library, n)
        library.add_version(facts(n).id, seal(document), "analysis")
    shutil.rmtree(library.path(facts(1).id, 1).parent)
    library.close()
    return tmp_path


def versions_in(root) -> list[list[int]]:
    library = open_library(root)
    found = [[version["n"] for version in library.versions(facts(n).id)] for n in range(2)]
    library.close()
    return found


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
def test_an_index_that_is_lost_is_built_anew_with_the_numbers_that_versions_had(indexed, left):
    (indexed / "library.db").unlink() if left is None else (indexed / "library.db").write_bytes(left)
    assert versions_in(indexed) == [[2], [2]]
    maps = sorted(path.parent.name for path in indexed.glob("maps/*/v*/*.json"))
    assert maps == ["v2", "v2"], "a map of another track is in quarantine"


def test_what_somebody_has_copied_beside_a_version_keeps_no_index_from_being_built_anew(indexed):
    version = indexed / "maps" / facts(0).id / "v2"
    for copy in ("v2 copy", "v2.bak", "v"):
        shutil.copytree(version, version.with_name(copy))
    (indexed / "library.db").unlink()
    assert versions_in(indexed) == [[2], [2]]
    assert version.with_name("v2.bak").exists()


def test_of_a_lost_index_all_is_built_anew_but_a_map_that_cannot_be_read(indexed):
    (indexed / "library.db").write_bytes(b"x" * 8192)
    unreadable = next(indexed.glob(f"maps/{facts(0).id}/v2/*.json"))
    unreadable.unlink()
    unreadable.mkdir()
    library = open_library(indexed)
    assert library.read(facts(1).id)
    assert code_of(library.get, facts(0).id) is Code.TRACK_NOT_FOUND
    (note,) = [each["note"] for each in library.history(facts(0).id) if each["action"] == "map.unreadable"]
    assert note == f"{unreadable}: Is a directory"
    library.close()


def close_damaged(library: Library, page_of: str) -> None:
    page = library.db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (page_of,)).fetchone()[0]
    size = library.db.execute("PRAGMA page_size").fetchone()[0]
    library.close()
    index = bytearray((library.root / "library.db").read_bytes())
    index[size * (page - 1) : size * page] = b"x" * size
    (library.root / "library.db").write_bytes(index)


@pytest.mark.parametrize("page_of", ["audit", "versions", "words_data"])
def test_names_and_pins_outlive_an_index_of_which_another_page_is_damaged(indexed, page_of):
    library = open_library(indexed)
    known = replace(facts(0), title="Überfahrt", artist="Zoë", tags=("slow", "late"), preset="techno")
    library.register(known)
    library.pin(known.id, True, "ops")
    library.register(replace(facts(7), title="without a map"))
    before = library.get(known.id)
    close_damaged(library, page_of)
    rebuilt = open_library(indexed)
    assert rebuilt.history(limit=1)[0]["action"] == "library.rebuild"
    after = rebuilt.get(known.id)
    told = ("title", "artist", "tags", "preset", "pinned", "version")
    assert [after[name] for name in told] == [before[name] for name in told] and after["pinned"]
    assert rebuilt.search(Query(text="uberfahrt")).total == 1
    assert code_of(rebuilt.get, facts(7).id) is Code.TRACK_NOT_FOUND
    assert not rebuilt.get(facts(1).id)["pinned"]
    rebuilt.close()


def test_names_and_pins_outlive_an_index_that_is_gone_altogether(indexed):
    library = open_library(indexed)
    told, pinned = replace(facts(0), title="Überfahrt", artist="Zoë", tags=("slow", "late"), preset="techno"), facts(1)
    library.register(told)
    library.note(told.id)
    library.pin(pinned.id, True, "ops")
    before = [library.get(track.id) for track in (told, pinned)]
    library.close()
    for _ in range(2):  # to build it anew takes nothing away
        for index in indexed.glob("library.db*"):
            index.unlink()
        library = open_library(indexed)
        names = ("title", "artist", "tags", "preset", "pinned", "version")
        assert [[library.get(track["id"])[name] for name in names] for track in before] == [
            [track[name] for name in names] for track in before
        ]
        assert library.search(Query(text="uberfahrt")).total == 1
        library.close()


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}", b'{"audio_sha256": 1}', b"\xff"])
def test_a_note_that_is_damaged_costs_itself(indexed, damage):
    for track in indexed.glob("maps/*"):
        (track / "told.json").write_bytes(damage)
    (indexed / "library.db").unlink()
    assert versions_in(indexed) == [[2], [2]]


@pytest.mark.parametrize("torn", ["title = CAST(x'ff41' AS TEXT)", "pinned = 1, tags = '['"])
def test_a_row_that_is_damaged_keeps_no_library_from_being_opened(indexed, torn):
    library = open_library(indexed)
    library.db.execute(f"UPDATE tracks SET {torn} WHERE id = ?", (facts(0).id,))
    library.close()
    library = open_library(indexed)
    assert library.read(facts(1).id)
    library.close()


@pytest.mark.parametrize("edited", [{"artist": ["Zoë", "Ana"]}, {"title": {}}, {"tags": [["slow"]]}, {"pinned": None}])
def test_a_note_that_somebody_has_edited_keeps_no_index_from_being_built_anew(indexed, edited):
    library = open_library(indexed)
    library.pin(facts(0).id, True, "ops")
    library.close()
    note = indexed / "maps" / facts(0).id / "told.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | edited))
    (indexed / "library.db").unlink()
    assert versions_in(indexed) == [[2], [2]]


def test_what_was_told_before_there_were_notes_is_noted_at_the_next_start(indexed):
    library = open_library(indexed)
    library.register(replace(facts(0), title="Überfahrt"))
    library.pin(facts(1).id, True, "ops")
    library.close()
    for note in indexed.glob("maps/*/told.json"):
        note.unlink()
    open_library(indexed).close()
    (indexed / "library.db").unlink()
    library = open_library(indexed)
    assert library.get(facts(0).id)["title"] == "Überfahrt" and library.get(facts(1).id)["pinned"]
    library.close()


def test_what_was_told_of_nothing_is_not_noted_and_what_was_taken_back_is_forgotten(library, track_id):
    note = library.root / "maps" / track_id / "told.json"
    library.note(track_id)
    assert not note.exists()
    library.pin(track_id, True, "ana")
    assert note.exists()
    library.pin(track_id, False, "ana")
    assert not note.exists()


@pytest.mark.parametrize("torn", ["source = 'f?le'", "title = CAST(x'ff41' AS TEXT)", "tags = '['", "artist = 7"])
def test_a_row_that_is_damaged_itself_takes_no_other_s_name_and_pin(indexed, torn):
    library = open_library(indexed)
    library.register(replace(facts(1), title="Nachtzug"))
    library.pin(facts(1).id, True, "ops")
    library.db.execute("PRAGMA ignore_check_constraints = ON")
    library.db.execute(f"UPDATE tracks SET {torn} WHERE id = ?", (facts(0).id,))
    close_damaged(library, "audit")
    rebuilt = open_library(indexed)
    track = rebuilt.get(facts(1).id)
    assert (track["title"], track["pinned"]) == ("Nachtzug", True)
    rebuilt.close()


def test_a_rebuilding_that_is_cut_short_is_begun_again(indexed, monkeypatch):
    (indexed / "library.db").write_bytes(b"x" * 8192)
    adopt = upkeep._adopt

    def power_cut(library, path):
        adopt(library, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(upkeep, "_adopt", power_cut)
    with pytest.raises(KeyboardInterrupt):
        open_library(indexed)
    monkeypatch.undo()
    assert versions_in(indexed) == [[2], [2]]
    assert not list(indexed.glob("rebuilt*"))


def test_a_library_of_a_newer_k1edge_is_left_alone(library):
    library.db.execute("PRAGMA user_version = 99")
    with pytest.raises(LibraryError, match="99"):
        open_library(library.root)
    assert (library.root / "library.db").exists()


def test_a_transaction_that_cannot_be_committed_is_over(library):
    with pytest.raises(sqlite3.IntegrityError), transaction(library.db):
        library.db.execute("PRAGMA defer_foreign_keys = ON")
        library.db.execute("INSERT INTO jobs VALUES (1, 'job', 'nobody', '', 'queued', 5, 0, 0, 0, 0, '', '', '')")
    assert not library.db.in_transaction
    assert not library.db.execute("SELECT count(*) FROM jobs").fetchone()[0]


def test_what_a_transaction_has_said_outlives_a_power_cut(library):
    assert [library.db.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("journal_mode", "synchronous")] == ["wal", 2]


def test_few_transactions_reach_the_card(library):
    """One for the track, one for its map: progress and reads write nothing."""
    before = library.db.total_changes
    track_id = stored(library)
    written = library.db.total_changes - before
    library.read(track_id)
    library.versions(track_id)
    library.search(Query(text="song"))
    assert library.db.total_changes - before == written


def test_a_file_whose_name_leaves_no_room_for_more_is_written_whole(tmp_path):
    write_whole(tmp_path / ("x" * 255), b"content")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x" * 255, b"content")]
