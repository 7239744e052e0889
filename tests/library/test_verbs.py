import json

import pytest

from k1edge.genesis.document import seal
from k1edge.k1 import contract
from k1edge.library.door import RECALL
from k1edge.library.errors import Code, LibraryError
from k1edge.library.jobs import Jobs
from k1edge.library.rules import Rules
from k1edge.library.store import Library, TrackFacts
from k1edge.library.upkeep import UNDO_S, prune, sweep
from k1edge.library.verbs import KEPT_BYTES, REPLY_BYTES, Verbs
from tests.genesis.songs import own_map as song
from tests.genesis.songs import playing, song_of, song_v4
from tests.library.queue_process import ANALYST

TRACK = "0123456789abcdef"


@pytest.fixture
def verbs(tmp_path, clock, steady):
    music = tmp_path / "music"
    music.mkdir()
    (music / "a.flac").write_bytes(b"fLaC ok")
    library = Library(tmp_path / "state", clock=clock, steady=steady)
    jobs = Jobs(library, Rules(music, ANALYST), report=lambda job: None)
    library.register(TrackFacts(TRACK + "0" * 48, "night.flac", title="Night", tags=("slow",)))
    library.add_version(TRACK, song(), "analysis")
    verbs = Verbs(library, jobs)
    verbs.library = library
    yield verbs
    jobs.close()
    library.close()


def code_of(verbs, verb, **args) -> Code:
    with pytest.raises(LibraryError) as caught:
        verbs.answer(verb, args)
    return caught.value.code


def test_tracks_are_listed_searched_and_paged(verbs):
    found = verbs.answer("track.list", {"text": "nig", "status": "ready", "limit": 10})
    assert (found["total"], found["returned"], found["tracks"][0]["title"]) == (1, 1, "Night")
    assert verbs.answer("track.list", {"text": "day"})["total"] == 0
    beyond = verbs.answer("track.list", {"offset": 1})
    assert (beyond["total"], beyond["offset"], beyond["returned"]) == (1, 1, 0)


def test_a_track_comes_with_the_layers_that_are_asked_for(verbs):
    found = verbs.answer("track.get", {"track": TRACK})
    assert set(found["layers"]) == {"rhythm", "annotations"}
    assert found["layers"]["rhythm"]["beat_grid_ms"] == song().layers.rhythm.beat_grid_ms
    bands = verbs.answer("track.get", {"track": TRACK, "layers": ["frequency"], "points": 50})["layers"]["frequency"]
    assert len(bands["bass"]) == 50
    assert max(point["intensity"] for point in bands["bass"]) == 0.96


def test_an_answer_holds_what_the_contract_says(verbs):
    job = verbs.answer("track.import", {"path": "a.flac"})["job"]
    jobs = [("job.cancel", {"job": job}), ("job.retry", {"job": job}), ("log.tail", {"job": job})]
    track = {"track": TRACK}
    of_tracks = {
        "beats.override": {"ops": [{"op": "delete", "at_ms": song().layers.rhythm.beat_grid_ms[4]}]},
        "version.diff": {"old": 1, "new": 2},
        "version.promote": {"version": 1},
    }
    plain = ["track.get", "version.list", "artefact.list", "bundle.get", "deploy", "track.pin", "track.delete", "track.restore"]
    asked = [*jobs, *((verb, track | more) for verb, more in of_tracks.items()), *((verb, track) for verb in plain),
             ("track.import", {"path": "a.flac"}), *((verb, {}) for verb in ("track.list", "job.list", "storage.usage"))]
    assert {verb for verb, _ in asked} == contract.LIBRARY_VERBS.keys() - {"deploy.stop"}
    for verb, args in asked:
        told = verbs.answer(verb, args).keys() - {"score"}
        beside = {"deploy": {"deployment", "devices", "start_at_ms"}, "log.tail": {"entries"}}.get(verb, set())
        assert told | beside == set(contract.VERBS[verb].answer), verb
    assert verbs.answer("log.tail", {}).keys() == {"entries"}


def test_answers_are_kept_up_to_a_size_however_many_windows_are_asked_for(verbs):
    asked = {"track": TRACK, "layers": ["rhythm", "frequency"], "points": 1500}
    for from_ms in range(400):
        verbs.answer("track.get", asked | {"from_ms": float(from_ms)})
    sizes = [size for _, size in verbs._kept.values()]
    assert 0.9 * KEPT_BYTES < sum(sizes) == verbs._kept_bytes <= KEPT_BYTES
    assert len(sizes) < 400


def test_a_track_that_was_purged_and_came_back_is_not_answered_as_it_was(verbs, steady):
    asked = {"track": TRACK, "version": 1}
    assert len(verbs.answer("track.get", asked)["layers"]["rhythm"]["beat_grid_ms"]) == 32
    verbs.answer("track.delete", {"track": TRACK})
    steady.now_s += UNDO_S + 1
    assert sweep(verbs.library) == [TRACK]
    verbs.library.register(TrackFacts(TRACK + "0" * 48, "night.flac"))
    verbs.library.add_version(TRACK, song(40), "analysis")
    assert len(verbs.answer("track.get", asked)["layers"]["rhythm"]["beat_grid_ms"]) == 40


def test_a_version_that_was_pruned_is_not_there_although_it_was_asked_for(verbs):
    verbs.library.add_version(TRACK, song(40), "analysis")
    asked = {"track": TRACK, "version": 1}
    verbs.answer("track.get", asked)
    verbs.library.limit_bytes = 1
    assert prune(verbs.library)[0] == f"{TRACK} v1"
    verbs.library.register(TrackFacts(TRACK + "0" * 48, "night.flac"))
    assert code_of(verbs, "track.get", **asked) is Code.VERSION_NOT_FOUND


def test_a_window_of_a_track_holds_only_what_is_inside(verbs):
    asked = {"track": TRACK, "from_ms": 2000.0, "to_ms": 4000.0, "layers": ["rhythm", "frequency"]}
    layers = verbs.answer("track.get", asked)["layers"]
    assert layers["rhythm"]["beat_grid_ms"] == [2000.0, 2500.0, 3000.0, 3500.0, 4000.0]
    assert len(layers["rhythm"]["beat_strength"]) == 5
    assert all(2000 <= point["time_ms"] <= 4000 for point in layers["frequency"]["highs"])


def test_no_answer_is_longer_than_a_message(verbs):
    document = song_v4(9000, 400.0)
    envelope = [{"time_ms": 20.0 * n, "intensity": 0.123} for n in range(15_000)]
    document["layers"]["frequency"] = {"bass": envelope, "mids": envelope, "highs": envelope}
    verbs.library.add_version(TRACK, seal(document), "analysis")
    everything = {"track": TRACK, "layers": ["frequency"], "points": 10**6}
    assert len(json.dumps(verbs.answer("track.get", everything))) < REPLY_BYTES * 1.1
    assert code_of(verbs, "track.get", track=TRACK) is Code.INVALID_REQUEST
    assert verbs.answer("track.get", {"track": TRACK, "to_ms": 600_000.0})["layers"]["rhythm"]["beat_grid_ms"]
    for n in range(400):
        verbs.library.register(TrackFacts(f"{n:04x}" + "5" * 60, f"{n}.flac", title="x" * 500))
    listed = verbs.answer("track.list", {"limit": 200})
    assert listed["total"] == 401 and 100 < listed["returned"] < 200
    assert len(json.dumps(listed)) < REPLY_BYTES * 1.05
    for _ in range(200):
        verbs.library.audit("x" * 64, "track.import", TRACK, "x" * 900)
    assert len(json.dumps(verbs.answer("log.tail", {"limit": 200}))) < REPLY_BYTES


def test_a_set_with_too_many_beats_for_its_accents_is_played_by_without_them(verbs):
    for beats, accents in ((400, 400), (5200, 0)):
        verbs.library.add_version(TRACK, song(beats), "analysis")
        score = verbs.answer("deploy", {"track": TRACK})["score"]
        assert (len(score["beats_ms"]), len(score["accents"])) == (beats, accents)
    assert {entry["action"] for entry in verbs.answer("log.tail", {})["entries"]} == {"deploy"}


def test_an_import_returns_track_and_job(verbs):
    found = verbs.answer("track.import", {"path": "a.flac", "title": "A", "tags": ["new"]}, "ana")
    assert (found["state"], found["position"]) == ("queued", 1)
    assert verbs.answer("track.get", {"track": found["track"]})["layers"] == {}
    assert verbs.answer("job.list", {})["jobs"][0]["id"] == found["job"]
    (noted,) = verbs.answer("log.tail", {"track": found["track"]})["entries"]
    assert (noted["by"], noted["action"], noted["note"]) == ("ana", "track.import", "a.flac")
    assert verbs.answer("job.cancel", {"job": found["job"]})["code"] == Code.CANCELLED
    assert verbs.answer("job.retry", {"job": found["job"]})["state"] == "queued"
    assert verbs.answer("log.tail", {"job": found["job"]})["lines"] == []
    assert code_of(verbs, "track.import", path="../../etc/passwd") is Code.FILE_NOT_ALLOWED
    assert code_of(verbs, "job.list", state=3, colour="red") is Code.INVALID_REQUEST


def test_what_is_told_of_a_song_that_waits_already_is_taken_in(verbs):
    waiting = verbs.answer("track.import", {"path": "a.flac", "priority": 3, "tags": ["new"]})
    verbs.answer("track.import", {"path": "a.flac", "title": "Blue Monday", "artist": "New Order", "priority": 10})
    assert verbs.answer("track.import", {"path": "a.flac", "priority": 1})["job"] == waiting["job"]
    assert verbs.answer("job.list", {})["jobs"][0]["priority"] == 10
    (track,) = verbs.answer("track.list", {"text": "blue new"})["tracks"]
    assert (track["title"], track["artist"], track["tags"]) == ("Blue Monday", "New Order", ["new"])


def test_beats_are_overridden_in_seconds_and_the_old_version_can_be_promoted(verbs):
    beats_s = [0.5 * n + 0.54 for n in range(30)]
    asked = {"track": TRACK, "beats": beats_s, "edited_by": "Zoë", "note": "late"}
    assert verbs.answer("beats.override", asked, "app")["version"] == 2
    assert verbs.answer("track.get", {"track": TRACK})["track"]["override"]["by"] == "Zoë"
    changes = verbs.answer("version.diff", {"track": TRACK, "old": 1, "new": 2})
    assert changes["beats"] == [32, 30] and changes["matched_beats"] == 30
    assert (changes["moved_beats"], changes["moved_by_ms"]) == (30, 40.0)
    assert [v["n"] for v in verbs.answer("version.list", {"track": TRACK})["versions"]] == [2, 1]
    assert verbs.answer("version.promote", {"track": TRACK, "version": 1})["current"] == 1
    actions = [entry["action"] for entry in verbs.answer("log.tail", {"track": TRACK})["entries"]]
    assert actions == ["version.promote", "beats.override"]
    assert code_of(verbs, "beats.override", track=TRACK, beats=[1.0, 1.0]) is Code.INVALID_REQUEST


def test_a_track_is_deleted_and_restored(verbs, clock):
    assert verbs.answer("track.delete", {"track": TRACK})["restorable_until_ms"] > clock.now_s * 1000
    assert code_of(verbs, "track.get", track=TRACK) is Code.TRACK_NOT_FOUND
    verbs.answer("track.restore", {"track": TRACK})
    assert verbs.answer("track.pin", {"track": TRACK})["pinned"]
    assert verbs.answer("storage.usage", {})["pinned"] == 1
    assert not verbs.answer("track.pin", {"track": TRACK, "pinned": False}, "ana")["pinned"]
    done = [(entry["by"], entry["action"]) for entry in verbs.answer("log.tail", {"track": TRACK})["entries"]]
    assert done == [("ana", "track.unpin"), *(("anonymous", f"track.{verb}") for verb in ("pin", "restore", "delete"))]


def test_artefacts_and_bundles_carry_their_hash(verbs):
    artefact = verbs.answer("artefact.list", {"track": TRACK})["artefacts"][0]
    assert (artefact["name"], artefact["status"]) == ("track.genesis.json", "ok")
    bundle = verbs.answer("bundle.get", {"track": TRACK})
    assert bundle["manifest"]["checksum_sha256"] == song().metadata.hashes.map_sha256


@pytest.mark.parametrize(
    ("verb", "args", "code"),
    [
        ("track.get", {"track": "none"}, Code.TRACK_NOT_FOUND),
        ("track.get", {"track": TRACK, "version": 9}, Code.VERSION_NOT_FOUND),
        ("track.get", {}, Code.INVALID_REQUEST),
        ("job.retry", {"job": "job-0"}, Code.JOB_NOT_FOUND),
        ("track.paint", {}, Code.INVALID_REQUEST),
        ("beats.override", {"track": TRACK, "ops": [{"op": "add", "at_ms": 10**400}]}, Code.INVALID_REQUEST),
        ("beats.override", {"track": TRACK, "ops": [{"op": "delete", "at_ms": 10**400}]}, Code.INVALID_REQUEST),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_code(verbs, verb, args, code):
    assert code_of(verbs, verb, **args) is code


def test_a_thousand_questions_for_one_song_read_it_once(verbs, monkeypatch):
    reads = []
    document = verbs.library.document
    monkeypatch.setattr(verbs.library, "document", lambda *args: reads.append(args) or document(*args))
    for _ in range(1000):
        verbs.answer("track.get", {"track": TRACK})
    assert len(reads) == 1


def test_a_song_that_is_heard_is_answered_with_its_score_and_then_whether_it_still_is(verbs):
    levels = playing(60.0, seed=1)
    verbs.library.add_version(TRACK, song_of(levels), "import")
    verbs.memory.learn()

    def heard(at_s, **led):
        args = {"levels": (1000 * levels[round(50 * at_s) :][:500]).astype(int).tolist(), "began_s": at_s}
        return verbs.answer(RECALL, args | (led or {"bpm": 120.0}))

    assert heard(10.0) == {}
    found = heard(13.0)
    assert (found["track"], found["version"]) == (TRACK, 2)
    assert found["score"]["beats_ms"]
    assert abs(found["start_s"]) < 0.02
    assert heard(16.0, track=TRACK, start_s=found["start_s"], speed=found["speed"])["still"] > 0.95
    assert "recall" not in contract.VERBS, "nobody else can ask"
