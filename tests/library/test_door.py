import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from itertools import islice
from types import SimpleNamespace

import pytest

from k1edge.config import LibrarySettings
from k1edge.library import door, upkeep
from k1edge.library.door import Door
from k1edge.library.librarian import TOLD_A_STEP, Librarian
from k1edge.library.store import TrackFacts
from tests.brokers import eventually
from tests.failing import raising
from tests.library.queue_process import ANALYST

PATIENCE_S = 180.0
"""An analysis stands back for whatever else the machine does."""


class Visitor:
    """Asks at a door and remembers all that was said."""

    def __init__(self, state, **settings) -> None:
        self.door = Door(LibrarySettings(**settings), state, ANALYST, delay_s=0.0)
        self.said: list[dict] = []
        self._number = 0

    def until_open(self) -> None:
        self.until(lambda: self.door.ready)

    def until_told(self, kind, **facts) -> None:
        """Of such news, a job say, of which this is so."""
        self.until(lambda: any(kind in news and (not facts or facts.items() <= news[kind].items()) for news in self.said))

    def until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.said[-3:]
            self.said += self.door.heard()
            time.sleep(0.005)

    def ask(self, verb: str, **args) -> dict:
        self.until_open()
        self._number += 1
        number = self._number
        assert self.door.ask(number, verb, args, "ana")
        return self.until_answered(number)

    def until_answered(self, number) -> dict:
        self.until(lambda: any(news.get("answer") == number for news in self.said))
        return next(news for news in self.said if news.get("answer") == number)


@pytest.fixture
def visitor(tmp_path):
    visitor = Visitor(tmp_path)
    yield visitor
    visitor.door.close()


@pytest.fixture
def opened(visitor):
    """At a door that is open."""
    visitor.until_open()
    return visitor


def test_a_song_in_the_inbox_is_analysed_and_told_of(opened, tmp_path):
    (tmp_path / "music" / "inbox" / "夜.flac").write_bytes(b"fLaC ok")
    (tmp_path / "music" / "inbox" / "bad.flac").write_bytes(b"fLaC silence")
    (tmp_path / "music" / "inbox" / "letter.txt").write_text("dear sound")
    opened.until(lambda: sum(news.get("job", {}).get("state") in ("completed", "failed") for news in opened.said) >= 2)
    states = {news["job"]["file"]: (news["job"]["state"], news["job"]["code"]) for news in opened.said if "job" in news}
    assert states == {"夜.flac": ("completed", None), "bad.flac": ("failed", "NO_MUSIC")}
    assert [news["refused"]["file"] for news in opened.said if "refused" in news] == ["letter.txt"]
    listed = opened.ask("track.list")["data"]
    assert {track["title"]: track["status"] for track in listed["tracks"]} == {"夜": "ready", "bad": "failed"}


def test_a_track_is_told_as_being_analysed_when_that_begins_and_when_it_is_tried_again(visitor, tmp_path):
    def told() -> list[str]:
        states = [news["track"]["status"] for news in visitor.said if "track" in news]
        return [state for n, state in enumerate(states) if states[n - 1 : n] != [state]]

    visitor.until_open()
    (tmp_path / "music" / "inbox" / "bad.flac").write_bytes(b"fLaC silence")
    visitor.until(lambda: "failed" in told())
    assert told() == ["processing", "failed"]
    job = next(news["job"]["id"] for news in visitor.said if "job" in news)
    visitor.said.clear()
    visitor.door.rest(True)
    assert visitor.ask("job.retry", job=job)["result"] == "ok"
    visitor.until(told)
    assert told() == ["processing"]


def test_a_track_is_told_when_it_changes_and_not_for_every_question(opened, tmp_path):
    (tmp_path / "music" / "song.flac").write_bytes(b"fLaC ok")
    track = opened.ask("track.import", path="song.flac")["data"]["track"]
    opened.until_told("track", status="ready")
    opened.said.clear()
    for verb in ("version.list", "artefact.list", "bundle.get"):
        assert opened.ask(verb, track=track)["result"] == "ok"
    assert [news for news in opened.said if "track" in news] == []
    next(tmp_path.rglob("track.genesis.json")).write_text("{")
    assert opened.ask("track.get", track=track)["code"] == "ARTIFACT_DAMAGED"
    opened.until_told("track")
    assert [news["track"]["status"] for news in opened.said if "track" in news] == ["warning"]
    assert opened.ask("track.get", track="5e5e")["code"] == "TRACK_NOT_FOUND"
    assert not any("gone" in news for news in opened.said)


def test_to_listen_where_nothing_is_said_takes_no_memory(visitor):
    visitor.ask("storage.usage")
    list(visitor.door.heard())
    tracemalloc.start()
    try:
        assert list(visitor.door.heard()) == []
        assert tracemalloc.get_traced_memory()[1] < 4096
    finally:
        tracemalloc.stop()


def test_one_listens_in_every_hop_only_while_something_is_asked(visitor, monkeypatch):
    visitor.ask("storage.usage")
    listened = []

    def nothing(_room):
        listened.append(clock.now_s)
        raise BlockingIOError

    def times_in_a_second():
        listened.clear()
        for _ in range(100):
            clock.now_s += 0.01
            assert list(visitor.door.heard()) == []
        return len(listened)

    clock = SimpleNamespace(now_s=1e9, monotonic=lambda: clock.now_s)
    with monkeypatch.context() as patched:
        patched.setattr(visitor.door, "_wire", SimpleNamespace(recv_into=nothing, send=lambda _: None))
        patched.setattr(door, "time", clock)
        assert 10 < times_in_a_second() <= 25
        assert visitor.door.ask(7, "storage.usage", {}, "ana")
        assert times_in_a_second() == 100


def test_a_library_that_rests_answers_and_begins_no_analysis(visitor, tmp_path):
    visitor.door.rest(True)
    visitor.until_open()
    (tmp_path / "music" / "inbox" / "song.flac").write_bytes(b"fLaC ok")
    visitor.until_told("job")
    assert visitor.ask("job.list")["data"]["jobs"][0]["state"] == "queued"
    assert {news["job"]["state"] for news in visitor.said if "job" in news} == {"queued"}
    visitor.door.rest(False)
    visitor.until_told("job", state="completed")


def test_what_was_heard_waits_in_memory_and_becomes_a_map_there(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    visitor = Visitor(tmp_path)
    try:
        visitor.until_open()
        song = tmp_path / "run" / "heard" / "heard-1.k1heard"
        song.write_bytes(b"fLaC ok")
        visitor.until_told("job", state="completed")
        visitor.until(lambda: not song.exists())
        assert not list((tmp_path / "music" / "inbox").iterdir())
        assert (tmp_path / "run" / "work").is_dir() and not (tmp_path / "library" / "work").exists(), "drafted in memory, too"
        refused = visitor.ask("track.import", path="/etc/passwd")
        assert refused["code"] == "FILE_NOT_ALLOWED"
    finally:
        visitor.door.close()


def test_a_refusal_has_its_code(visitor):
    answer = visitor.ask("track.get", track="none")
    assert (answer["result"], answer["code"]) == ("rejected", "TRACK_NOT_FOUND")


def test_a_door_that_is_not_open_yet_takes_no_question(visitor):
    assert not visitor.door.ask(1, "track.list", {}, "ana")


def test_a_librarian_that_dies_is_started_again_and_the_question_is_answered(opened):
    os.kill(opened.door._process.pid, signal.SIGSTOP)
    assert opened.door.ask(77, "track.list", {}, "ana")
    os.kill(opened.door._process.pid, signal.SIGKILL)
    assert opened.until_answered(77)["code"] == "NOT_READY"
    assert any("lost" in news for news in opened.said)
    opened.until_open()
    assert opened.ask("storage.usage")["data"]["tracks"] == 0


def test_what_ended_last_is_told_by_the_next_librarian_since_its_end_may_not_have_been(opened, tmp_path):
    (tmp_path / "music" / "song.flac").write_bytes(b"fLaC ok")
    done = opened.ask("track.import", path="song.flac")["data"]["job"]
    opened.until_told("job", state="completed")
    opened.said.clear()
    os.kill(opened.door._process.pid, signal.SIGKILL)
    opened.until_told("track")
    past, track = [news for news in opened.said if "past" in news or "track" in news]
    assert (past["past"]["id"], past["past"]["state"], track["track"]["status"]) == (done, "completed", "ready")


def test_a_librarian_that_cannot_write_says_so_without_a_traceback_and_is_not_started_in_a_frenzy(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr("k1edge.library.door.AGAIN_S", (600.0,))
    (tmp_path / "library").write_text("in the way")
    visitor = Visitor(tmp_path)
    visitor.until_told("lost")
    for _ in range(100):
        assert not list(visitor.door.heard())
    assert visitor.door._wire is None, "none is begun"
    (lost,) = [news["lost"] for news in visitor.said if "lost" in news]
    assert lost.startswith(f"{tmp_path}/library: File exists; ") and "must be able to write to" in lost
    assert "Traceback" not in capfd.readouterr().err
    visitor.door.close()


def test_a_librarian_that_dies_soon_after_it_opens_is_waited_for_longer_each_time(visitor, monkeypatch):
    monkeypatch.setattr("k1edge.library.door.AGAIN_S", (0.0, 0.0, 600.0))
    for deaths in (1, 2, 3):
        visitor.until_open()
        os.kill(visitor.door._process.pid, signal.SIGKILL)
        visitor.until(lambda deaths=deaths: sum("lost" in news for news in visitor.said) == deaths)
    assert not list(visitor.door.heard()) and visitor.door._wire is None


def test_every_open_question_is_answered_and_the_loss_told_however_little_is_heard_at_once(opened):
    os.kill(opened.door._process.pid, signal.SIGSTOP)
    for number in (77, 78, 79):
        assert opened.door.ask(number, "track.list", {}, "ana")
    os.kill(opened.door._process.pid, signal.SIGKILL)
    heard: list[dict] = []
    eventually(lambda: heard.extend(islice(opened.door.heard(), 1)) or any("lost" in news for news in heard))
    assert [(news["answer"], news["code"]) for news in heard[:-1]] == [(n, "NOT_READY") for n in (77, 78, 79)]


class Housekeeper(Librarian):
    """A librarian of this process, whose news nobody hears: `told` has them."""

    def __init__(self, folder):
        self.told: list[dict] = []
        super().__init__(None, {
            "root": str(folder / "library"), "music": str(folder), "heard": str(folder / "inbox"), "command": [],
            **LibrarySettings().model_dump(include={"time_limit_s", "memory_mb", "max_file_mb", "limit_mb"}),
        })  # fmt: skip

    def _tell(self, news):
        self.told.append(news)

    def do_all(self):
        """Every chore, due or not."""
        self._due_s = dict.fromkeys(self._due_s, 0.0)
        self._keep_house()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._jobs.close()
        self._library.close()


def test_a_librarian_goes_on_where_what_is_asked_cannot_be_written(tmp_path, monkeypatch):
    with Housekeeper(tmp_path) as librarian:
        track = librarian._library.register(TrackFacts("a" * 64, "song.flac"))["id"]
        question = {"ask": 7, "verb": "track.pin", "args": {"track": track}}
        with monkeypatch.context() as patch:
            # A full disk cannot be had without a mount.
            patch.setattr("k1edge.library.store.Library.audit", raising(sqlite3.OperationalError("database or disk is full")))
            answer = librarian._answer(question)
        full = f"{tmp_path}/library: database or disk is full; the library must be able to write to {tmp_path}/library"
        assert (answer["result"], answer["reason"]) == ("failed", full)
        assert librarian._answer(question)["result"] == "ok"


def test_every_track_is_told_at_the_start_a_few_at_a_time_since_the_broker_may_know_none(tmp_path):
    library = upkeep.open_library(tmp_path / "library", 1_000_000_000)
    tracks = [library.register(TrackFacts(f"{n:064x}"[::-1], f"{n}.flac"))["id"] for n in range(TOLD_A_STEP + 3)]
    upkeep.delete(library, deleted := tracks.pop(), "ana")
    library.db.execute("UPDATE tracks SET updated_ms = updated_ms + 60000 WHERE id = ?", (tracks[0],))
    library.close()
    with Housekeeper(tmp_path) as librarian:
        for step, most in enumerate((TOLD_A_STEP, TOLD_A_STEP + 3, TOLD_A_STEP + 3)):
            librarian.do_all()
            assert len(librarian.told) == most, step
    assert [news["gone"] for news in librarian.told if "gone" in news] == [deleted], "a broker may list it yet"
    there = [news["track"]["id"] for news in librarian.told if "track" in news]
    assert sorted(there) == sorted(tracks) and there[-1] == tracks[0], "of too many a link forgets the first, not what is new"


def test_every_job_that_has_ended_is_told_at_the_start_newest_first_since_the_broker_may_list_it_yet(tmp_path):
    names = [f"{n}.flac" for n in range(TOLD_A_STEP + 2)]
    for name in names:
        (tmp_path / name).write_bytes(f"fLaC{name}".encode())
    with Housekeeper(tmp_path) as before:
        ended = [before._jobs.cancel(before._jobs.submit(name)["id"])["id"] for name in names]
    with Housekeeper(tmp_path) as librarian:
        librarian._jobs.rest(True)
        librarian._jobs.retry(ended[0])
        librarian.told.clear()
        for _ in range(4):
            librarian.do_all()
    told = [news["past"]["id"] for news in librarian.told if "past" in news]
    assert told == ended[:0:-1], "but one that waits again has not ended"
    assert len([news for news in librarian.told if "track" in news]) == len(names)


def test_a_library_that_is_made_much_smaller_goes_on_with_it_at_once_but_listens_between(tmp_path, monkeypatch):
    clock, left = SimpleNamespace(now_s=100.0), ["aa v1", "bb", "cc"]
    monkeypatch.setattr("k1edge.library.librarian.time", SimpleNamespace(monotonic=lambda: clock.now_s))
    monkeypatch.setattr("k1edge.library.librarian.upkeep.prune", lambda _: [left.pop(0)] if left else [])
    with Housekeeper(tmp_path) as librarian:
        for looks in range(1, 4):
            librarian._keep_house()
            assert librarian.told == [{"gone": name} for name in ("aa", "bb", "cc")[:looks]]
        librarian._keep_house()
        left.append("dd")
        librarian._keep_house()
        assert left == ["dd"], "with nothing to remove it waits for its turn"


@pytest.mark.parametrize("full", [OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("full")])
def test_what_a_full_disk_stands_in_the_way_of_is_told_once_and_done_when_there_is_room(tmp_path, monkeypatch, full):
    clock, looks, steps = SimpleNamespace(now_s=0.0), [], []
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    monkeypatch.setattr("k1edge.library.librarian.time", SimpleNamespace(monotonic=lambda: clock.now_s))
    monkeypatch.setattr("k1edge.library.librarian.Inbox.look", lambda inbox: looks.append(1))
    monkeypatch.setattr("k1edge.library.librarian.Jobs.step", lambda jobs: steps.append(1))
    with Housekeeper(tmp_path) as librarian, monkeypatch.context() as patch:
        patch.setattr("k1edge.library.librarian.upkeep.prune", raising(full))
        for clock.now_s in range(60):
            librarian._keep_house()
        assert [news["refused"]["file"] for news in librarian.told] == [f"{tmp_path}/library"]
        assert (len(steps), len(looks)) == (60, 30)
        patch.setattr("k1edge.library.librarian.upkeep.prune", raising(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            for clock.now_s in range(60, 90):
                librarian._keep_house()


def test_a_music_folder_that_cannot_be_used_takes_no_library_with_it(tmp_path):
    (tmp_path / "music").write_text("in the way")
    visitor = Visitor(tmp_path)
    visitor.until_told("refused")
    assert visitor.ask("storage.usage")["result"] == "ok"
    visitor.door.close()
    (refused,) = [news["refused"] for news in visitor.said if "refused" in news]
    assert f"{tmp_path}/music/inbox cannot be used: Not a directory" in refused["reason"]


def test_a_librarian_that_finds_another_at_work_says_so_without_a_traceback(opened, tmp_path, capfd):
    second = Visitor(tmp_path)
    second.until_told("lost")
    second.door.close()
    assert "another process works off the queue" in second.said[-1]["lost"] and "stop it" in second.said[-1]["lost"]
    assert "Traceback" not in capfd.readouterr().err


def test_a_librarian_that_finds_the_index_of_a_newer_k1edge_says_so(opened, tmp_path):
    opened.door.close()
    index = tmp_path / "library" / "library.db"
    with sqlite3.connect(index) as db:
        db.execute("PRAGMA user_version = 99")
    later = Visitor(tmp_path)
    later.until_told("lost")
    later.door.close()
    assert later.said[-1]["lost"] == (
        f"{index} was written by a newer k1edge (version 99, and this one knows 1);"
        " install that, or move the file away: it is built anew from the maps"
    )


def test_a_terminal_that_interrupts_the_daemon_does_not_reach_its_librarian_from_the_first_moment(visitor):
    assert list(visitor.door.heard()) == [], "it is only begun"
    assert os.getpgid(visitor.door._process.pid) == visitor.door._process.pid != os.getpgid(0)


def test_the_librarian_leaves_when_the_daemon_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from k1edge.config import LibrarySettings\n"
        "from k1edge.library.door import Door\n"
        "door = Door(LibrarySettings(), Path(sys.argv[1]), ['/bin/false'], 0.0)\n"
        "while not door.ready:\n    list(door.heard()); time.sleep(0.01)\n"
        "print(door._process.pid, flush=True); time.sleep(60)"
    )
    daemon = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail("the librarian outlived the daemon")
