import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from k1edge.library import confine, worker
from k1edge.library.errors import Code, LibraryError
from k1edge.library.inbox import Inbox
from k1edge.library.jobs import CRAMPED, HOT, MOST_ATTEMPTS, Jobs
from k1edge.library.rules import Rules
from k1edge.library.schedule import USUAL_S
from k1edge.library.search import Query
from k1edge.library.store import Library
from k1edge.library.upkeep import delete
from k1edge.library.worker import Limits
from tests.brokers import eventually
from tests.failing import full, raising
from tests.library.queue_process import ANALYST

PATIENCE_S = 180.0


class Queue:
    """A queue over a music folder, with everything it reported."""

    def __init__(self, root: Path, limits: Limits = Limits()) -> None:  # noqa: B008
        self.music = root / "music"
        self.music.mkdir(exist_ok=True)
        self.library = Library(root / "state")
        self.reports: list[dict] = []
        self.jobs = Jobs(self.library, Rules(self.music, ANALYST, limits=limits), self.reports.append)

    def song(self, name: str, words: str = "ok") -> Path:
        path = self.music / name
        path.write_bytes(b"fLaC" + words.encode() + b"\n" + name.encode())
        return path

    def release(self) -> None:
        """What is held goes on."""
        (self.music / "go").touch()

    def until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "the queue did not get there"
            self.jobs.step()
            time.sleep(0.005)

    def run(self, job: dict) -> dict:
        self.until(lambda: self.jobs.get(job["id"])["state"] in ("completed", "failed"))
        return self.jobs.get(job["id"])

    def close(self) -> None:
        self.jobs.close()
        self.library.close()


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """An analysis does not stand back for whatever else this machine does, as it would in a venue."""
    monkeypatch.setattr("k1edge.library.worker.NICE", 0)


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path)
    yield queue
    queue.close()


def test_a_song_goes_through_every_state_and_becomes_a_version(queue):
    queue.song("序曲 один.flac")
    job = queue.jobs.submit("序曲 один.flac", title="Prologue", artist="Ana", tags=("slow",))
    assert (job["state"], job["position"], job["file"]) == ("queued", 1, "序曲 один.flac")
    ended = queue.run(job)
    assert (ended["state"], ended["progress"], ended["eta_s"]) == ("completed", 1.0, None)
    assert ended["log_tail"] == ["listening"]
    states = [report["state"] for report in queue.reports]
    assert states[0] == "queued" and states[-1] == "completed" and "processing" in states
    track = queue.library.get(job["track_id"])
    assert (track["title"], track["tags"], track["status"], track["version"]) == ("Prologue", ["slow"], "ready", 1)
    assert queue.library.read(job["track_id"]).layers.rhythm.beat_grid_ms
    assert not list((queue.library.root / "work").iterdir())


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ("segv", Code.ANALYSIS_FAILED, "SIGSEGV"),
        ("hungry", Code.OUT_OF_MEMORY, "MemoryError"),
        ("silence", Code.NO_MUSIC, "no beat"),
        ("nothing", Code.ANALYSIS_FAILED, "left no map"),
        ("invalid", Code.ANALYSIS_FAILED, "invalid map"),
        ("torn", Code.ANALYSIS_FAILED, "invalid map"),
        ("exit 1", Code.ANALYSIS_FAILED, "gave up"),
    ],
)
def test_whatever_goes_wrong_in_an_analysis_stays_there(queue, words, code, reason):
    queue.song("bad.flac", words)
    ended = queue.run(queue.jobs.submit("bad.flac"))
    assert (ended["state"], ended["code"]) == ("failed", code)
    assert reason in ended["reason"]
    assert queue.library.get(ended["track_id"])["status"] == "failed"
    assert ended["log_tail"] and queue.jobs.retry(ended["id"])["log_tail"] == []
    queue.jobs.cancel(ended["id"])
    queue.song("good.flac")
    assert queue.run(queue.jobs.submit("good.flac"))["state"] == "completed"


def test_a_hanging_analysis_is_ended_at_the_time_limit(tmp_path):
    queue = Queue(tmp_path, Limits(time_s=0.5))
    queue.song("hang.flac", "hang")
    ended = queue.run(queue.jobs.submit("hang.flac"))
    assert (ended["state"], ended["code"]) == ("failed", Code.TIME_LIMIT)
    queue.close()


@pytest.mark.parametrize(
    ("counted", "code", "reason"),
    [
        (("oom_kill 3", "oom_kill 4"), Code.OUT_OF_MEMORY, "memory ran out, and the kernel ended the analysis at beats 30%"),
        (("oom_kill 3", "oom_kill 3"), Code.ANALYSIS_FAILED, "killed at beats 30%, and not by the kernel"),
        (("other 3", "other 4"), Code.ANALYSIS_FAILED, "killed at beats 30%: if nobody did, memory ran out; let"),
    ],
)
def test_who_killed_an_analysis_is_told_as_far_as_it_is_known(queue, tmp_path, monkeypatch, counted, code, reason):
    kernel = tmp_path / "vmstat"
    monkeypatch.setattr(worker, "OOM_KILLS", (kernel, "oom_kill"))
    kernel.write_text(f"pgfault 7\n{counted[0]}\n")
    job = queue.jobs.submit(queue.song("song", "hang"))
    queue.until(lambda: queue.jobs.get(job["id"])["stage"] == "beats")
    kernel.write_text(f"pgfault 9\n{counted[1]}\n")
    os.kill(queue.jobs._worker._process.pid, signal.SIGKILL)
    ended = queue.run(job)
    assert (ended["code"], reason in ended["reason"]) == (code, True)


def test_an_analysis_may_take_as_long_as_its_song_lasts(queue, monkeypatch):
    job = queue.jobs.submit(queue.song("mix.flac", "long 4500"))
    queue.until(lambda: queue.jobs.get(job["id"])["stage"] == "beats")
    with monkeypatch.context() as patch:
        for age_s, state in ((4499.0, "processing"), (4501.0, "failed")):
            patch.setattr(worker.Worker, "age_s", age_s)
            queue.jobs.step()
            assert queue.jobs.get(job["id"])["state"] == state
    assert queue.jobs.get(job["id"])["reason"] == "took longer than 4500 s, at beats 30%"


def test_how_long_an_analysis_still_takes_is_told_by_its_own_pace(queue, monkeypatch):
    job = queue.jobs.submit(queue.song("mix", "hang"))
    behind = queue.jobs.submit(queue.song("song", "ok"))
    queue.until(lambda: queue.jobs.get(job["id"])["stage"] == "beats")
    with monkeypatch.context() as patch:
        patch.setattr(worker.Worker, "age_s", 600.0)
        for progress, left_s in ((0.0, USUAL_S), (0.25, 1800.0)):
            queue.jobs._worker.progress = progress
            assert queue.jobs.get(job["id"])["eta_s"] == left_s
            assert queue.jobs.get(behind["id"])["eta_s"] == left_s + USUAL_S


def test_a_flood_of_output_leaves_a_short_log(queue):
    queue.song("chatty.flac", "chatty")
    ended = queue.run(queue.jobs.submit("chatty.flac"))
    assert ended["state"] == "completed"
    assert len(ended["log_tail"]) <= 20 and all(len(line) <= 300 for line in ended["log_tail"])


def test_the_analysis_is_niced_and_dies_with_the_queue(queue, monkeypatch):
    monkeypatch.undo()
    queue.song("hang.flac", "hang")
    job = queue.jobs.submit("hang.flac")
    queue.until(lambda: queue.jobs.get(job["id"])["stage"] == "beats")
    pid = queue.jobs._worker._process.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
    session = Path(f"/proc/{pid}/autogroup")
    assert not session.exists() or session.read_text().split()[-1] == "19"
    queue.jobs.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    queue.jobs = Jobs(queue.library, Rules(queue.music, ANALYST), queue.reports.append)
    assert queue.jobs.get(job["id"])["state"] == "queued"
    assert queue.jobs.get(job["id"])["attempts"] == 0


def test_an_analysis_dies_with_a_queue_that_is_killed(tmp_path):
    song = tmp_path / "song"
    song.write_bytes(b"fLaChang")
    begin = (
        "import os, subprocess, sys, time\n"
        "confined = [sys.executable, '-m', 'k1edge.library.confine', str(os.getpid()), '2000', '0', *sys.argv[1:]]\n"
        "print(subprocess.Popen(confined).pid, flush=True); time.sleep(1000)"
    )
    command = [sys.executable, "-c", begin, *ANALYST, str(song), "--job", "map"]
    queue = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(queue.stdout.readline())
    assert json.loads(queue.stdout.readline())["stage"] == "beats"
    queue.kill()
    queue.wait()
    queue.stdout.close()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the analysis is gone", PATIENCE_S)


def test_an_analysis_begins_although_the_folder_that_the_daemon_was_started_in_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    command = [sys.executable, "-m", "k1edge", "analyze", "absent.wav", "--job", "map.json"]
    confined = [sys.executable, "-m", "k1edge.library.confine", str(os.getpid()), "2000", "0", *command]
    done = subprocess.run(confined, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.splitlines()[-1])["code"] == "FILE_NOT_FOUND", done.stderr


def test_a_session_stands_back_when_the_kernel_lets_it(monkeypatch):
    written = []

    class Autogroup:
        def write_text(self, text):
            written.append(text)
            if len(written) < 4:
                raise BlockingIOError

    monkeypatch.setattr(confine, "AUTOGROUP", Autogroup())
    monkeypatch.setattr(confine, "TRY_S", 0.0)
    confine._stand_back(19)
    assert written == ["19"] * 4


def test_the_urgent_go_first_and_equals_in_order_of_arrival(queue):
    for name, priority in (("a", 5), ("b", 5), ("c", 9), ("d", 1)):
        queue.song(name)
        queue.jobs.submit(name, priority)
    assert [(job["file"], job["position"]) for job in queue.jobs.list()] == [("c", 1), ("a", 2), ("b", 3), ("d", 4)]
    etas = [job["eta_s"] for job in queue.jobs.list()]
    assert etas == sorted(etas) and etas[0] > 0
    order = []
    queue.until(lambda: queue.jobs.counts()["queued"] == 0 and queue.jobs.counts()["active"] == 0)
    order = [report["file"] for report in queue.reports if report["state"] == "completed"]
    assert order == ["c", "a", "b", "d"]


def test_what_was_interrupted_goes_behind_its_equals(queue):
    interrupted, _ = (queue.jobs.submit(queue.song(name, "held")) for name in "ab")
    queue.library.db.execute("UPDATE jobs SET attempts = 1 WHERE id = ?", (interrupted["id"],))
    queue.until(lambda: queue.jobs.counts()["active"])
    assert [(job["file"], job["state"]) for job in queue.jobs.list()] == [("b", "processing"), ("a", "queued")]


def told(queue) -> dict[str, tuple]:
    """What was told last of each file: the retained messages."""
    return {job["file"]: (job["state"], job["position"]) for job in queue.reports}


def test_what_is_told_last_of_each_job_is_where_it_stands(queue):
    running, *waiting = [queue.jobs.submit(queue.song(name, "hang")) for name in "abcd"]
    queue.jobs.step()
    assert told(queue) == {"a": ("processing", 0), "b": ("queued", 1), "c": ("queued", 2), "d": ("queued", 3)}
    queue.jobs.submit(queue.song("urgent"), priority=9)
    queue.jobs.cancel(waiting[1]["id"])
    assert told(queue)["urgent"] == ("queued", 1)
    assert [told(queue)[name] for name in "bcd"] == [("queued", 2), ("failed", 0), ("queued", 3)]
    queue.jobs.cancel(running["id"])
    queue.jobs.step()
    assert (told(queue)["urgent"], told(queue)["b"]) == (("processing", 0), ("queued", 1))
    assert [job["file"] for job in queue.reports if job["state"] == "failed"] == ["c", "a"]


def test_no_place_is_told_of_those_far_behind_until_they_are_near(queue, monkeypatch):
    monkeypatch.setattr("k1edge.library.jobs.TOLD_JOBS", 2)
    for name in "abcd":
        queue.jobs.submit(queue.song(name, "hang"))
    assert [told(queue)[name][1] for name in "abcd"] == [1, 2, None, None]
    assert queue.jobs.list()[3]["position"] == 4
    queue.jobs.step()
    assert [told(queue)[name][1] for name in "abcd"] == [0, 1, 2, None]
    queue.jobs.submit(queue.song("urgent"), priority=9)
    assert [told(queue)[name][1] for name in "bcd"] == [2, None, None]


def test_one_that_comes_far_behind_costs_no_look_at_the_others(queue, monkeypatch):
    monkeypatch.setattr("k1edge.library.jobs.TOLD_JOBS", 2)
    for name in "ab":
        queue.jobs.submit(queue.song(name))
    looks = []
    monkeypatch.setattr(queue.jobs, "list", lambda *which: looks.append(which) or [])
    queue.jobs.submit(queue.song("behind"))
    assert not looks
    queue.jobs.submit(queue.song("urgent"), priority=9)
    assert looks


def test_of_songs_that_are_gone_each_is_told_once_and_those_behind_when_one_begins(queue):
    songs = [queue.song(name, "hang") for name in "abcd"]
    for song in songs:
        queue.jobs.submit(song)
    for song in songs[:2]:
        song.unlink()
    queue.reports.clear()
    for _ in range(3):
        queue.jobs.step()
    outcome = [(job["file"], job["state"], job["position"]) for job in queue.reports]
    assert outcome == [("a", "failed", 0), ("b", "failed", 0), ("c", "processing", 0), ("d", "queued", 1)]


def test_progress_within_a_stage_is_told_in_steps(queue, monkeypatch):
    queue.jobs.submit(queue.song("a", "hang"))
    queue.until(lambda: queue.reports[-1]["stage"] == "beats")
    monkeypatch.setattr(queue.jobs._worker, "poll", lambda: False)
    for hundredths in range(50, 61):
        queue.jobs._worker.progress = hundredths / 100
        queue.jobs.step()
    assert [job["progress"] for job in queue.reports if job["stage"] == "beats"] == [0.3, 0.5, 0.55, 0.6]


@pytest.mark.parametrize("step_s", [-30 * 86_400, 400 * 86_400])
def test_a_clock_that_is_put_right_during_an_analysis_does_not_make_it_long_or_negative(queue, clock, step_s):
    queue.library._clock = clock
    job = queue.jobs.submit(queue.song("song", "held"))
    queue.until(lambda: queue.jobs.get(job["id"])["stage"] == "beats")
    clock.now_s += step_s
    time.sleep(0.3)
    queue.release()
    ended = queue.run(job)
    assert 300 <= ended["finished_ms"] - ended["started_ms"] < PATIENCE_S * 1000
    queue.song("next")
    assert 0.3 <= queue.jobs.submit("next")["eta_s"] < PATIENCE_S


def test_a_song_that_waits_is_not_queued_twice(queue):
    queue.song("a")
    assert queue.jobs.submit("a")["id"] == queue.jobs.submit("a")["id"]


def test_a_song_that_is_renamed_while_it_waits_is_found_under_its_new_name(queue):
    waiting = queue.jobs.submit(queue.song("old"))
    (queue.music / "old").rename(queue.music / "new")
    assert (queue.jobs.submit("new")["id"], queue.run(waiting)["state"]) == (waiting["id"], "completed")


def test_a_song_that_waits_outlives_its_copy(queue):
    waiting = queue.jobs.submit(queue.song("song"))
    copy = queue.music / "copy"
    copy.write_bytes((queue.music / "song").read_bytes())
    assert queue.jobs.submit("copy")["file"] == "song"
    copy.unlink()
    assert queue.run(waiting)["state"] == "completed"


def test_a_running_job_keeps_the_name_of_what_it_hears(queue):
    running = queue.jobs.submit(queue.song("first", "held"))
    queue.until(lambda: queue.jobs.get(running["id"])["state"] == "processing")
    (queue.music / "second").write_bytes((queue.music / "first").read_bytes())
    again = queue.jobs.submit("second")
    queue.release()
    assert again["file"] == queue.run(running)["file"] == "first"


def test_a_waiting_and_a_running_job_can_be_cancelled_and_tried_again(queue):
    queue.song("hang", "hang")
    queue.song("ok")
    running, waiting = queue.jobs.submit("hang"), queue.jobs.submit("ok")
    queue.until(lambda: queue.jobs.get(running["id"])["stage"] == "beats")
    for job in (running, waiting):
        assert queue.jobs.cancel(job["id"])["code"] == Code.CANCELLED
    queue.jobs.retry(waiting["id"])
    assert queue.library.get(waiting["track_id"])["status"] == "processing"
    assert queue.run(waiting)["state"] == "completed"
    for call in (queue.jobs.cancel, queue.jobs.retry):
        with pytest.raises(LibraryError, match="INVALID_REQUEST"):
            call(waiting["id"])
    with pytest.raises(LibraryError, match="JOB_NOT_FOUND"):
        queue.jobs.get("job-0")


def test_a_song_that_failed_and_is_imported_again_is_processing_and_its_old_job_queues_it_no_second_time(queue):
    failed = queue.jobs.submit(queue.song("song"))
    queue.jobs.cancel(failed["id"])
    again = queue.jobs.submit("song")
    assert queue.library.get(again["track_id"])["status"] == "processing"
    assert queue.jobs.retry(failed["id"])["id"] == again["id"] and queue.jobs.counts()["queued"] == 1


def test_a_song_deleted_or_replaced_while_it_waits_fails_by_name(queue):
    queue.song("gone")
    queue.song("swapped")
    gone, swapped = queue.jobs.submit("gone"), queue.jobs.submit("swapped")
    (queue.music / "gone").unlink()
    (queue.music / "swapped").write_text("not sound")
    assert queue.run(gone)["code"] == Code.FILE_NOT_FOUND
    assert queue.run(swapped)["code"] == Code.INVALID_FILE_FORMAT


def test_the_map_of_another_song_is_not_stored_under_the_track_that_waited(queue):
    queue.song("b")
    waited = queue.jobs.submit("b")
    queue.song("b", "ok, but another song")
    ended = queue.run(waited)
    assert (ended["code"], "replaced by another file" in ended["reason"]) == (Code.FILE_NOT_FOUND, True)
    replaced = queue.run(queue.jobs.submit("b"))
    assert replaced["state"] == "completed"
    assert [track["id"] for track in queue.library.search(Query(status="ready")).tracks] == [replaced["track_id"]]


def test_a_track_deleted_during_its_analysis_does_no_harm(queue):
    job = queue.jobs.submit(queue.song("song", "held"))
    queue.until(lambda: queue.jobs.get(job["id"])["stage"] == "beats")
    delete(queue.library, job["track_id"], by="ana")
    queue.release()
    assert queue.run(job)["state"] == "completed"


def test_a_track_purged_during_its_analysis_ends_it(queue):
    queue.song("hang", "hang")
    queue.song("ok")
    job = queue.jobs.submit("hang")
    queue.until(lambda: queue.jobs.get(job["id"])["state"] == "processing")
    queue.library.db.execute("DELETE FROM tracks")
    assert queue.run(queue.jobs.submit("ok"))["state"] == "completed"


def test_the_last_that_ended_stay_on_the_list_however_many_wait(queue, monkeypatch):
    monkeypatch.setattr("k1edge.library.jobs.KEPT_JOBS", 3)
    names = [f"song {n}" for n in range(6)]
    for name in names:
        queue.song(name)
        queue.jobs.submit(name)
    queue.until(lambda: not queue.jobs.list("queued") and not queue.jobs.list("processing"))
    assert [report["file"] for report in queue.reports if report["state"] == "completed"] == names
    assert [job["file"] for job in queue.jobs.list()] == ["song 5", "song 4", "song 3"]


def test_a_queue_is_worked_off_by_one_process_only(queue):
    with pytest.raises(LibraryError, match="another process"):
        Jobs(queue.library, Rules(queue.music, ANALYST), print)


def lose_power(queue: Queue, job: dict) -> None:
    """The worker is gone and nothing of an orderly end reaches the index."""
    queue.until(lambda: queue.jobs.get(job["id"])["state"] == "processing")
    queue.jobs._worker.close()
    queue.jobs._worker = None
    queue.close()


def test_what_a_power_cut_has_interrupted_is_told_as_waiting_however_far_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("k1edge.library.jobs.TOLD_JOBS", 2)
    queue = Queue(tmp_path)
    first, *_ = [queue.jobs.submit(queue.song(name, "hang")) for name in "abcd"]
    lose_power(queue, first)
    queue = Queue(tmp_path)
    assert told(queue) == {"a": ("queued", None), "b": ("queued", 1), "c": ("queued", 2)}
    queue.close()


def test_a_song_that_takes_everything_down_is_given_up_in_the_end(tmp_path):
    queue = Queue(tmp_path)
    queue.song("hang", "hang")
    job = queue.jobs.submit("hang")
    for _ in range(MOST_ATTEMPTS):
        lose_power(queue, job)
        queue = Queue(tmp_path)
    assert queue.jobs.get(job["id"])["code"] == Code.ANALYSIS_FAILED
    assert f"{MOST_ATTEMPTS} times" in queue.jobs.get(job["id"])["reason"]
    assert queue.library.get(job["track_id"])["status"] == "failed"
    queue.close()


def test_a_map_that_cannot_be_stored_is_no_attempt(tmp_path, monkeypatch):
    queue = Queue(tmp_path)
    queue.song("ok")
    job = queue.jobs.submit("ok")
    monkeypatch.setattr(queue.library, "add_version", full)
    with pytest.raises(OSError, match="No space"):
        queue.run(job)
    queue.close()
    queue = Queue(tmp_path)
    assert (queue.jobs.get(job["id"])["state"], queue.jobs.get(job["id"])["attempts"]) == ("queued", 0)
    queue.close()


def test_a_job_is_completed_with_its_map_or_not_at_all(queue, monkeypatch):
    job = queue.jobs.submit(queue.song("ok"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(queue.jobs, "_ended", raising(KeyboardInterrupt()))
        queue.run(job)
    assert queue.library.versions(job["track_id"]) == []


def waiting(queue):
    """Stage, and whether a time is told, of those that wait, as they were told last."""
    told = {job["id"]: job for job in queue.reports}
    return [(job["stage"], job["eta_s"] is not None) for job in told.values() if job["state"] == "queued"]


@pytest.mark.parametrize("why", [HOT, CRAMPED])
def test_what_is_held_up_says_why_and_promises_no_time(queue, monkeypatch, why):
    for name in ("a", "b"):
        queue.song(name, f"ok {name}")
        queue.jobs.submit(name)
    assert waiting(queue) == [("waiting", True)] * 2
    with monkeypatch.context() as patch:
        if why == HOT:
            queue.jobs.rest(True)
        else:
            patch.setattr("k1edge.library.jobs.ROOM_BYTES", 1 << 62)
        for _ in range(3):
            queue.jobs.step()
        assert waiting(queue) == [(why, False)] * 2
        assert len(queue.reports) == 4
    queue.jobs.rest(False)
    queue.jobs.step()
    assert waiting(queue) == [("waiting", True)]


@pytest.mark.parametrize("wanted", ["ROOM_BYTES", "ROOM_FILES"])
def test_nothing_is_analysed_while_there_is_no_room_for_its_map(queue, monkeypatch, wanted):
    queue.song("ok")
    job = queue.jobs.submit("ok")
    with monkeypatch.context() as patch:
        patch.setattr(f"k1edge.library.jobs.{wanted}", 1 << 62)
        for _ in range(3):
            queue.jobs.step()
    assert [report["stage"] for report in queue.reports] == ["waiting", "no room on the disk"]
    assert queue.run(job)["state"] == "completed"


class DropFolder(Inbox):
    """The inbox of a queue, with all that it refused."""

    def __init__(self, queue: Queue) -> None:
        self.refused: list[dict] = []
        super().__init__(queue.library, queue.jobs, queue.music / "inbox", self.refused.append)

    def look_twice(self) -> None:
        """A file is taken that has not grown since the last look."""
        self.look()
        self.look()


@pytest.fixture
def inbox(queue):
    return DropFolder(queue)


def test_the_inbox_takes_a_file_once_it_has_stopped_growing(queue, inbox):
    queue.song("inbox/growing", "ok")
    inbox.look()
    with (queue.music / "inbox/growing").open("ab") as file:
        file.write(b" more")
    inbox.look()
    assert queue.jobs.list() == []
    inbox.look()
    assert [(job["file"], job["priority"]) for job in queue.jobs.list()] == [("growing", 3)]
    queue.run(queue.jobs.list()[0])
    again = DropFolder(queue)
    again.look_twice()
    assert len(queue.jobs.list()) == 1 and not inbox.refused and not again.refused


@pytest.mark.parametrize("words", ["ok", "silence", "exit 1", "purged", "refused"])
def test_what_was_heard_stays_while_it_waits_and_no_longer(queue, inbox, words):
    heard = queue.song("inbox/heard-1.k1heard", words)
    if words == "refused":
        heard.write_text("too large, say")
    inbox.look_twice()
    assert heard.exists()
    if words == "purged":
        queue.library.db.execute("DELETE FROM tracks")
    queue.until(lambda: not queue.jobs.list("queued") and not queue.jobs.list("processing"))
    kept = queue.song("inbox/heard-2.flac", words)
    inbox.look()
    assert not heard.exists() and kept.exists()
    if words == "ok":
        (live,) = queue.library.search(Query(source="live")).tracks
        (version,) = queue.library.versions(live["id"])
        assert (live["filename"], version["reason"]) == ("heard-1.k1heard", "live")


def test_a_song_in_the_inbox_is_told_of_only_when_it_is_written_down(queue, inbox):
    queue.song("inbox/song", "ok")
    inbox.look()
    full = "CREATE TEMP TRIGGER full BEFORE INSERT ON inbox BEGIN SELECT RAISE(ABORT, 'full'); END"
    queue.library.db.execute(full)
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        inbox.look()
    assert queue.jobs.list() == [] and queue.reports == []
    queue.library.db.execute("DROP TRIGGER full")
    inbox.look()
    assert [job["id"] for job in queue.jobs.list()] == [job["id"] for job in queue.reports]


def test_the_inbox_takes_no_more_at_a_look_than_there_is_time_for(queue, inbox, monkeypatch):
    monkeypatch.setattr("k1edge.library.inbox.LOOK_S", 0.0)
    for name in "abc":
        queue.song(f"inbox/{name}")
    queued = []
    for _ in range(5):
        inbox.look()
        queued.append(len(queue.jobs.list()))
    assert queued == [0, 1, 2, 3, 3]


def test_a_look_into_a_full_inbox_asks_the_index_no_oftener_than_one_into_an_inbox_with_a_song(queue, inbox):
    asked = []
    for n in range(30):
        queue.song(f"inbox/{n:02}", f"ok {n}")
        inbox.look_twice()
        asked.append([])
        queue.library.db.set_trace_callback(asked[-1].append)
        inbox.look()
        queue.library.db.set_trace_callback(None)
    assert len(asked[0]) == len(asked[-1]) > 0


def test_the_inbox_takes_a_file_once_it_may_be_read(public, request):
    queue = Queue(public)
    inbox = DropFolder(queue)
    queue.song("inbox/song").chmod(0)
    request.getfixturevalue("unprivileged")
    for _ in range(3):
        inbox.look()
    os.seteuid(os.getuid())
    assert [item["code"] for item in inbox.refused] == [Code.FILE_NOT_FOUND] and not queue.jobs.list()
    (queue.music / "inbox/song").chmod(0o644)
    inbox.look_twice()
    assert len(queue.jobs.list()) == len(inbox.refused) == 1
    queue.close()


def test_the_inbox_says_once_what_it_refuses(queue, inbox):
    (queue.music / "inbox" / "notes.txt").write_text("buy milk")
    (queue.music / "inbox" / ".hidden").write_text("x")
    (queue.music / "inbox" / "album").mkdir()
    os.write(os.open(bytes(queue.music / "inbox") + b"/\xff\xfe.mp3", os.O_CREAT | os.O_WRONLY), b"")
    for n in range(4):
        inbox.look()
        queue.song(f"inbox/album/{n}")
    assert {item["file"] for item in inbox.refused} == {"notes.txt", "\ufffd\ufffd.mp3", "album"}
    assert {item["code"] for item in inbox.refused} == {Code.INVALID_FILE_FORMAT}
    assert len(inbox.refused) == 3
    assert "album is a folder, and not looked into: give the songs in it" in [item["reason"] for item in inbox.refused]


def test_the_inbox_forgets_what_was_taken_away(queue, inbox, monkeypatch):
    monkeypatch.setattr("k1edge.library.inbox.LOOK_S", PATIENCE_S)
    for n in range(3):
        (queue.music / "inbox" / f"notes {n}.txt").write_text("buy milk")
    inbox.look_twice()
    (queue.music / "inbox" / "notes 1.txt").unlink()
    inbox.look()
    remembered = {row["name"] for row in queue.library.db.execute("SELECT name FROM inbox")}
    assert remembered == {b"notes 0.txt", b"notes 2.txt"}


def test_an_inbox_that_is_pulled_with_its_stick_is_missed_once_and_known_when_it_is_back(queue, inbox):
    queue.song("inbox/song")
    inbox.look_twice()
    queue.run(queue.jobs.list()[0])
    stick = queue.music.rename(queue.music.with_name("pulled"))
    inbox.look_twice()
    (reason,) = [item["reason"] for item in inbox.refused]
    assert reason == f"{queue.music}/inbox cannot be used: No such file or directory; it is looked for again"
    stick.rename(queue.music)
    inbox.look_twice()
    assert len(queue.jobs.list()) == len(inbox.refused) == 1


def test_an_inbox_that_somebody_removed_is_made_again(queue, inbox):
    (queue.music / "inbox").rmdir()
    inbox.look()
    queue.song("inbox/song")
    inbox.look_twice()
    assert len(queue.jobs.list()) == 1


def test_a_song_that_was_away_when_its_turn_came_is_queued_when_it_is_back(queue, inbox):
    queue.song("inbox/song")
    inbox.look_twice()
    share = (queue.music / "inbox").rename(queue.music / "share")
    queue.run(queue.jobs.list()[0])
    share.rename(queue.music / "inbox")
    inbox.look_twice()
    assert [(job["state"], job["code"]) for job in queue.jobs.list()] == [("queued", None), ("failed", Code.FILE_NOT_FOUND)]


def test_the_inbox_forgets_no_song_because_another_of_its_name_is_gone(queue, inbox):
    queue.song("inbox/01")
    inbox.look_twice()
    queue.run(queue.jobs.list()[0])
    elsewhere = queue.song("01", "ok, but another song")
    gone = queue.jobs.submit("01")
    elsewhere.unlink()
    assert queue.run(gone)["code"] == Code.FILE_NOT_FOUND
    inbox.look()
    assert not queue.jobs.list("queued")


def test_of_two_copies_in_the_inbox_either_may_go(queue, inbox):
    first = queue.song("inbox/a")
    (queue.music / "inbox" / "b").write_bytes(first.read_bytes())
    inbox.look_twice()
    (waiting,) = queue.jobs.list()
    (queue.music / "inbox" / waiting["file"]).unlink()
    assert queue.run(waiting)["code"] == Code.FILE_NOT_FOUND
    inbox.look()
    (again,) = queue.jobs.list("queued")
    assert (again["file"] != waiting["file"], queue.run(again)["state"]) == (True, "completed")


def test_no_job_is_lost_done_twice_or_half_written_when_the_queue_is_killed(tmp_path):
    """`scripts/bench jobs` does this fifty times with real analyses."""
    draw = random.Random(5)
    music, state = tmp_path / "music", tmp_path / "state"
    music.mkdir()
    names = []
    for n in range(8):
        names.append(f"song {n}")
        (music / names[-1]).write_bytes(b"fLaC" + f"slow {draw.random() * 0.1:.3f} {n}".encode())
    command = [sys.executable, "-m", "tests.library.queue_process", str(state), str(music)]
    songs = names
    for _ in range(5):
        process = subprocess.Popen([*command, *songs], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(draw.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        songs = []
        check_consistent(state, len(names))
    assert subprocess.run(command, timeout=PATIENCE_S, stdout=subprocess.DEVNULL).returncode == 0
    library = Library(state)
    tracks = library.search(Query()).tracks
    assert [len(library.versions(track["id"])) for track in tracks] == [1] * len(names)
    assert {row[0] for row in library.db.execute("SELECT state FROM jobs")} == {"completed"}
    library.close()


def check_consistent(state: Path, songs: int) -> None:
    library = Library(state)
    assert library.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert library.db.execute("SELECT count(*) FROM jobs").fetchone()[0] == songs
    for track in library.search(Query()).tracks:
        if track["version"]:
            library.read(track["id"])
    library.close()
