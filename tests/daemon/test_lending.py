import json
from collections import deque

import pytest

from k1edge.daemon.lending import JOB_TTL_S, PATIENCE_NS, Lending
from k1edge.daemon.telemetry import Telemetry
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.library.errors import Code
from k1edge.live.desk import Desk, RefusedError, ReplyTo

TRACK = {
    "id": "5e5e5e5e5e5e5e5e", "title": "Nacht\x1b[2J", "artist": "", "filename": "n.flac", "preset": "default",
    "source": "file", "pinned": False, "override": {"by": "ana", "at_ms": 1, "note": "late\n"}, "duration_ms": 1000.0,
    "bpm": 120.0, "status": "ready", "version": 2, "updated_ms": 1_700_000_000_000,
}  # fmt: skip
JOB = {
    "id": "job-1a", "track_id": TRACK["id"], "file": "n.flac", "state": "processing", "stage": "beats", "progress": 0.5,
    "started_ms": None, "finished_ms": None,
    "position": 0, "eta_s": 3.0, "priority": 5, "code": None, "reason": None, "log_tail": ["one", "two"],
}  # fmt: skip


class FakeDoor:
    """Remembers what it was asked; says what it was told to say."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []
        self.news: deque[dict] = deque()
        self.open = True

    def ask(self, *question) -> bool:
        if self.open:
            self.asked.append(question)
        return self.open

    def heard(self):
        while self.news:
            yield self.news.popleft()

    def rest(self, resting: bool) -> None:
        self.resting = resting

    def close(self) -> None:
        self.open = False


class FakeHands:
    """Deploys, or refuses to."""

    shown = None

    def __init__(self, refusal: RefusedError | None = None) -> None:
        self._refusal, self.telemetry = refusal, Telemetry()

    def recalled(self, found: dict) -> None:
        self.found = found

    def deploy(self, asked: dict) -> dict:
        if self._refusal:
            raise self._refusal
        return {"deployment": "d-1", "of": asked["track"]}


def lending_with(hands: FakeHands, largest_bytes: int = 1 << 28) -> Lending:
    scribe = Scribe("bar", "edge-1")
    lending = Lending(FakeDoor(), scribe, Desk(scribe, lambda: largest_bytes), hands)
    lending.door, lending.desk = lending._door, lending._desk
    return lending


@pytest.fixture
def lending():
    return lending_with(FakeHands())


def at(second: float = 0.0) -> Stamp:
    return Stamp(1_700_000_000_000 + round(second * 1000), True, round(second * 1e9))


def ask(lending, verb: str, request_id: str = "q1", reply_to=("", b""), second: float = 0.0, **args) -> list:
    topic = f"k1/v1/bar/edge/edge-1/request/{verb}"
    payload = json.dumps({"id": request_id, "caller": "app", "args": args}).encode()
    return list(lending.request(topic, payload, ReplyTo(*reply_to), at(second)))


def said(lending, *news: dict, second: float = 0.0) -> list[tuple[str, contract.Message]]:
    lending.door.news.extend(news)
    out = []
    for _ in range(1 + len(news)):
        for p in lending.process(at(second)):
            ours = p.payload and p.topic.startswith("k1/")
            out.append((p.topic, contract.decode(p.topic, p.payload) if ours else p))
    return out


@pytest.mark.parametrize(
    ("answer", "found"),
    [({"result": "ok", "data": {"track": "t"}}, {"track": "t"}), ({"result": "ok", "data": {}}, {}),
     ({"result": "failed", "code": "NOT_READY", "reason": "gone"}, {})],
)  # fmt: skip
def test_what_the_edge_asks_itself_is_answered_to_it_and_to_nobody_else(lending, answer, found):
    lending.recall({"bpm": 120.0})
    assert lending.door.asked == [(0, "recall", {"bpm": 120.0}, "edge-1")]
    lending.door.news.append({"answer": 0} | answer)
    assert list(lending.process(at())) == []
    assert lending._hands.found == found


def test_a_request_is_passed_on_and_answered_when_the_library_answers(lending):
    assert ask(lending, "track.get", track="x", reply_to=("app/inbox", b"7")) == []
    assert lending.door.asked == [(1, "track.get", {"track": "x"}, "app")]
    (topic, answer), (copy_topic, copy) = said(lending, {"answer": 1, "result": "ok", "data": {"layers": {}}})
    assert topic == "k1/v1/bar/edge/edge-1/response/track.get"
    assert (answer.id, answer.result, answer.data) == ("q1", "ok", {"layers": {}})
    assert (copy_topic, copy.correlation) == ("app/inbox", b"7")


def test_how_long_the_library_took_is_counted_and_not_how_long_it_took_to_ask(lending):
    ask(lending, "track.get", track="x", second=1.0)
    assert lending._hands.telemetry.extra()["library_requests_timed"] == 0
    said(lending, {"answer": 1, "result": "ok", "data": {}}, second=1.3)
    told = lending._hands.telemetry.extra()
    assert (told["library_requests_timed"], told["library_request_ms_sum"]) == (1, 300)
    assert (told["library_requests_within_200_ms"], told["library_requests_within_500_ms"], told["requests_timed"]) == (0, 1, 0)


def test_an_id_that_came_before_is_answered_and_not_asked_again(lending):
    ask(lending, "track.delete", track="x")
    assert ask(lending, "track.delete", track="x") == []
    assert len(said(lending, {"answer": 1, "result": "ok", "data": {}})) == 1
    (again,) = ask(lending, "track.delete", track="x")
    assert b'"result":"ok"' in again.payload
    assert len(lending.door.asked) == 1


def test_who_is_refused_is_named_in_the_refusal(lending):
    (refusal,) = ask(lending, "track.get", colour="red")
    answer = contract.decode(refusal.topic, refusal.payload)
    assert (answer.code, answer.id, answer.caller) == ("INVALID_REQUEST", "q1", "app")


def test_an_id_that_is_used_again_for_another_track_is_another_question(lending):
    ask(lending, "track.delete", track="x")
    ask(lending, "track.delete", track="y")
    assert [args["track"] for _, _, args, _ in lending.door.asked] == ["x", "y"]


def test_a_broken_expired_or_too_frequent_request_never_reaches_the_library(lending):
    (refusal,) = ask(lending, "track.get", colour="red", track="x")
    assert b"INVALID_REQUEST" in refusal.payload
    topic = "k1/v1/bar/edge/edge-1/request/track.list"
    old = json.dumps({"id": "q9", "expires_at_ms": 5.0}).encode()
    assert b"EXPIRED" in next(lending.request(topic, old, ("", b""), at())).payload
    answers = [ask(lending, "storage.usage", f"q{n}") for n in range(150)]
    refused = [a for a in answers if a]
    assert 40 <= len(refused) <= 60 and b"RATE_LIMIT_EXCEEDED" in refused[-1][0].payload


def test_what_was_done_and_what_was_refused_is_counted_by_code_and_a_repetition_is_not(lending):
    ask(lending, "track.list", "q1")
    ask(lending, "track.get", "q2", track="x")
    ask(lending, "track.get", "q3", colour="red")
    said(lending, {"answer": 1, "result": "ok", "data": {}},
         {"answer": 2, "result": "rejected", "code": "TRACK_NOT_FOUND", "reason": "no such track"})
    ask(lending, "track.list", "q1")
    lending.door.open = False
    ask(lending, "track.list", "q4")
    assert (lending.desk.ok, lending.desk.rejected) == (1, {"INVALID_REQUEST": 1, "TRACK_NOT_FOUND": 1, "NOT_READY": 1})


def test_an_answer_that_no_message_holds_is_counted_once(lending):
    ask(lending, "bundle.get", track="x")
    said(lending, {"answer": 1, "result": "ok", "data": {"map": "x" * 400_000}})
    assert (lending.desk.ok, sum(lending.desk.rejected.values())) == (0, 1)


def test_a_library_that_is_not_open_or_silent_is_said(lending):
    lending.door.open = False
    assert b"NOT_READY" in ask(lending, "track.list")[0].payload
    lending.door.open = True
    ask(lending, "track.list", "q2")
    assert list(lending.process(at(PATIENCE_NS / 1e9 - 1))) == []
    (late,) = lending.process(at(PATIENCE_NS / 1e9 + 1))
    assert b"NOT_READY" in late.payload
    assert ask(lending, "track.list", "q2", second=12) == []
    assert said(lending, {"answer": 1, "result": "ok", "data": {}}) == []


def test_an_answer_never_lands_on_a_topic_of_the_contract(lending):
    ask(lending, "track.list", reply_to=("k1/v1/bar/device/k1-a/cmd/scene", b""))
    assert len(said(lending, {"answer": 1, "result": "ok", "data": {}})) == 1


def test_the_library_rests_when_it_is_told_to(lending):
    lending.rest(True)
    assert lending.door.resting


def test_analyses_are_counted_and_timed(lending):
    timed = {"started_ms": 1_000, "finished_ms": 3_500}
    said(lending, {"job": JOB | {"state": "completed"} | timed}, {"job": JOB | {"state": "failed", "code": "NO_MUSIC"} | timed})
    assert lending.figures == {"jobs_completed": 1.0, "jobs_failed": 1.0, "job_s_sum": 2.5}


def test_a_job_is_retained_until_a_minute_after_its_end(lending):
    ((topic, job),) = said(lending, {"job": JOB})
    assert topic.endswith("/job/job-1a") and (job.stage, job.progress, job.log_tail) == ("beats", 0.5, ("one", "two"))
    ended = said(lending, {"job": JOB | {"state": "failed", "code": "NO_MUSIC", "reason": "silence", "eta_s": None}})
    assert [message.kind for _, message in ended[1:]] == ["job_failed"]
    assert ended[1][1].code == "NO_MUSIC"
    (cleared,) = lending.process(at(JOB_TTL_S + 1))
    assert (cleared.topic, cleared.payload, cleared.retain) == (topic, b"", True)


def test_a_job_that_is_tried_again_is_not_cleared(lending):
    said(lending, {"job": JOB | {"state": "failed", "code": "NO_MUSIC", "reason": "silence", "eta_s": None}})
    said(lending, {"job": JOB | {"state": "queued"}}, second=3.0)
    assert list(lending.process(at(JOB_TTL_S + 1))) == []
    said(lending, {"job": JOB | {"state": "completed"}}, second=70.0)
    assert list(lending.process(at(JOB_TTL_S + 69))) == []
    (cleared,) = lending.process(at(JOB_TTL_S + 71))
    assert cleared.payload == b""


def test_an_answer_that_no_message_holds_is_told_as_a_failure(lending):
    ask(lending, "log.tail")
    (number, *_) = lending.door.asked[-1]
    ((_, answer),) = said(lending, {"answer": number, "result": "ok", "data": {"entries": ["\u0430" * 400] * 200}})
    assert (answer.result, answer.code, answer.data) == ("failed", "TOO_LARGE", {})


def test_an_answer_larger_than_the_broker_takes_is_told_as_a_failure_with_what_to_do():
    lending = lending_with(FakeHands(), largest_bytes=20_000)
    for number, size in ((1, 18_000), (2, 20_000)):
        ask(lending, "log.tail", f"q{number}", track=f"x{number}")
        ((topic, answer),) = said(lending, {"answer": number, "result": "ok", "data": {"entries": ["x" * size]}})
    assert (topic.endswith("log.tail"), answer.id, answer.code, answer.data) == (True, "q2", "TOO_LARGE", {})
    assert "the broker takes 18976: ask for less of it" in answer.reason
    assert (lending.desk.ok, lending.desk.rejected) == (1, {"TOO_LARGE": 1})


def test_an_end_that_the_library_did_not_live_to_tell_is_told_once_and_one_of_an_earlier_life_is_cleared(lending):
    past = {"past": JOB | {"state": "completed", "progress": 1.0}}
    ((topic, cleared),) = said(lending, past)
    assert (topic, cleared.payload) == ("k1/v1/bar/edge/edge-1/job/job-1a", b"")
    said(lending, {"job": JOB})
    assert [message.state for topic, message in said(lending, past) if "/job/" in topic] == ["completed"]
    assert said(lending, past) == []
    assert lending.figures["jobs_completed"] == 1


def test_a_track_is_retained_until_it_is_gone(lending):
    ((topic, track),) = said(lending, {"track": TRACK})
    assert topic.endswith("/track/5e5e5e5e5e5e5e5e") and track.version == 2
    assert [track.detail[f"override_{fact}"] for fact in ("by", "at_ms", "note")] == ["ana", 1, "late "]
    assert "\x1b" not in track.title
    ((gone, publication),) = said(lending, {"gone": TRACK["id"]})
    assert gone == topic and publication.payload == b""


def test_a_track_of_an_earlier_life_is_cleared_too(lending):
    ((topic, publication),) = said(lending, {"gone": TRACK["id"]})
    assert topic.endswith("/track/5e5e5e5e5e5e5e5e") and (publication.payload, publication.retain) == (b"", True)


def test_a_job_whose_track_is_gone_is_cleared_with_it(lending):
    ((job, _),) = said(lending, {"job": JOB})
    assert [topic for topic, _ in said(lending, {"gone": TRACK["id"]})][1:] == [job]


def test_without_a_library_no_job_is_told_as_under_way_or_soon_done(lending):
    queued = JOB | {"id": "job-2b", "state": "queued", "stage": "waiting", "progress": 0.0, "position": 1, "log_tail": []}
    far = queued | {"id": "job-3c", "position": None, "eta_s": None}
    said(lending, {"job": JOB}, {"job": queued})
    said(lending, {"job": far})
    told = [job for _, job in said(lending, {"lost": "ended with -9"})]
    assert [(job.id, job.state, job.progress, job.eta_s) for job in told] == [
        ("job-1a", "queued", 0.0, None), ("job-2b", "queued", 0.0, None),
    ]  # fmt: skip
    assert said(lending, {"lost": "ended with -9"}) == []
    said(lending, {"job": JOB}, {"job": queued | {"state": "failed", "code": "CANCELLED", "eta_s": None}})
    last = list(lending.farewell(at()))
    assert not lending.door.open
    assert [(p.topic.rpartition("/")[2], p.payload and json.loads(p.payload)["state"]) for p in last] == [
        ("job-1a", "queued"), ("job-2b", b""),
    ]  # fmt: skip


def test_a_newer_broker_forgets_an_ended_job_by_itself(lending):
    lending.door.news.extend(({"job": JOB}, {"job": JOB | {"state": "completed"}}))
    jobs = [p for _ in range(2) for p in lending.process(at()) if "/job/" in p.topic]
    assert [p.expiry_s for p in jobs] == [None, JOB_TTL_S]


def test_a_refused_file_is_an_event(lending):
    refused = {"file": "letter.txt", "code": "INVALID_FILE_FORMAT", "reason": "is no sound"}
    ((_, event),) = said(lending, {"refused": refused}, {"ready": True})
    assert (event.kind, event.code) == ("job_failed", "INVALID_FILE_FORMAT")


def test_a_library_that_is_lost_again_and_again_is_logged_once_for_each_reason_and_an_alarm_until_it_is_open(lending, caplog):
    lost = {"lost": "library: No space left on device"}
    assert said(lending, *[lost] * 5, {"lost": "ended with\n-9"}) == []
    (alarm,) = lending.alarms
    assert (alarm.code, alarm.reason) == ("LIBRARY_LOST", "ended with -9")
    assert len(caplog.records) == 2
    said(lending, {"ready": True})
    assert lending.alarms == ()


def test_a_refused_file_may_have_any_name(lending):
    refused = {"file": "a\nb\u202e.txt", "code": "INVALID_FILE_FORMAT", "reason": "is no sound"}
    ((_, event),) = said(lending, {"refused": refused})
    assert event.data == {"file": "a b .txt"}


def test_the_contract_names_every_code_of_the_library():
    assert {code.value for code in Code} <= set(contract.CODES)


def test_a_deployment_is_prepared_by_the_library_and_carried_out_by_the_edge(lending):
    ask(lending, "deploy", track=TRACK["id"], start_at_ms=5.0)
    prepared = {"track": TRACK["id"], "version": 2, "score": {"beats_ms": [1.0]}}
    ((_, answer),) = said(lending, {"answer": 1, "result": "ok", "data": prepared})
    assert answer.data == {"track": TRACK["id"], "version": 2, "deployment": "d-1", "of": TRACK["id"]}


def test_a_deployment_that_the_edge_refuses_is_rejected_with_its_reason():
    lending = lending_with(FakeHands(RefusedError("NOT_READY", "no audio is followed")))
    ask(lending, "deploy.stop")
    ((_, answer),) = said(lending, {"answer": 1, "result": "ok", "data": {}})
    assert (answer.result, answer.code) == ("rejected", "NOT_READY")


def test_a_scene_is_tried_out_a_little_each_hop_and_its_like_is_told(lending):
    scene = {"pattern": "pulse", "palette": "Rivendell", "parameters": {"brightness": 2.0}, "seconds": 2.0, "bpm": 240.0}
    assert ask(lending, "scene.simulate", **scene) == []
    answers, hops = [], 0
    while not answers and hops < 1000:
        answers, hops = list(lending.process(at(hops / 100))), hops + 1
    seen = contract.decode(answers[0].topic, answers[0].payload).data
    assert 20 < hops < 200 and lending.door.asked == []
    assert set(seen) == set(contract.VERBS["scene.simulate"].answer)
    assert seen["frames"] == 100 and 0 < seen["luminance_mean"] < seen["luminance_max"] <= 1.3
    assert seen["clamped"] == 1 and seen["flashes_per_s"] <= 3 and seen["limited"]["beat"] > 0
    assert {"name": "pattern", "from": None, "to": "pulse"} in seen["changes"]


def test_only_a_few_scenes_are_tried_out_at_a_time(lending):
    answers = [ask(lending, "scene.simulate", f"q{n}", pattern="bloom") for n in range(6)]
    assert [bool(answer) for answer in answers] == [False] * 4 + [True] * 2
