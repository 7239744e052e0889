import json
import threading
import time

import pytest

from k1edge.__main__ import main
from k1edge.config.settings import host_slug
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe
from k1edge.k1.link import Identity, Link
from k1edge.programs.ask import _arguments, fitted, outline
from tests.brokers import PATIENCE_S, eventually
from tests.k1.fake_edge import now


@pytest.fixture
def edge(mosquitto):
    """An edge `bar/pi-1` that answers the first request with what it was asked; `asked` has its arguments."""
    link = Link(mosquitto.settings(), Identity("edge-bar", ["k1/v1/bar/edge/pi-1/request/#"]))
    link.start()
    eventually(lambda: link.connected)
    asked = []

    def answer():
        eventually(lambda: asked.extend(link.receive()) or asked, "it is asked")
        request = json.loads(asked[0].payload)
        link.send(Scribe("bar", "pi-1").write(contract.Response, now(), verb=asked[0].topic.rpartition("/")[2],
                                              id=request["id"], result="ok", data=request["args"]))  # fmt: skip

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    thread.join(PATIENCE_S)
    link.close()


def test_the_edge_of_this_machines_configuration_is_asked_whoever_may_read_its_password(
    mosquitto, edge, tmp_path, monkeypatch, capsys
):
    config = tmp_path / "k1edge.toml"
    config.write_text('site = "bar"\nedge = "pi-1"\n[mqtt]\nusername = "pi"\npassword_file = "not-for-everyone"\n')
    monkeypatch.setenv("K1EDGE_CONFIG", str(config))
    assert main(["ask", "storage.usage", "--url", mosquitto.url]) == 0


@pytest.mark.parametrize(("given", "heard"), [
    ("text=1999", "1999"), ("text=12e4567890123456", "12e4567890123456"), ("text=true", "true"), ('text="[]"', "[]"),
    ("limit=7", 7), ("pinned=true", True),
])  # fmt: skip
def test_what_a_verb_takes_as_text_is_text_whatever_it_looks_like(mosquitto, edge, capsys, given, heard):
    assert main(["ask", "track.list", given, "--json", "--url", mosquitto.url, "--site", "bar", "--edge", "pi-1"]) == 0
    assert json.loads(capsys.readouterr().out)["data"][given.partition("=")[0]] == heard


@pytest.mark.parametrize("option", ["site", "edge"])
def test_a_name_that_cannot_be_one_is_answered_with_one_that_can(option, capsys):
    assert main(["ask", "track.list", f"--{option}", "Pi 1"]) == 2
    assert capsys.readouterr().err == f'k1edge ask: the {option} "Pi 1" may only hold a-z, 0-9 and -; try "pi-1"\n'


def test_an_edge_that_is_silent_is_named(mosquitto, capsys):
    assert main(["ask", "storage.usage", "--url", mosquitto.url, "--wait", "2"]) == 3
    nobody = f"{host_slug()}/{host_slug()}"
    assert capsys.readouterr().err == f"k1edge ask: no answer from {nobody} within 2 s: --site and --edge say whom to ask\n"


def test_a_broker_that_is_not_there_is_not_called_a_silent_edge(capsys):
    assert main(["ask", "storage.usage", "--url", "mqtt://127.0.0.1:1", "--wait", "2"]) == 3
    said = capsys.readouterr().err
    assert "mqtt://127.0.0.1:1: Connection refused; --url" in said and "no answer" not in said


def test_nothing_is_said_as_null_where_the_verb_takes_it():
    assert _arguments("job.list", ["state=null", "limit=3"]) == {"state": None, "limit": 3}
    assert _arguments("track.import", ["path=null", "title=1999"]) == {"path": "null", "title": "1999"}


def test_an_answer_is_an_outline_in_which_nothing_is_said_as_nothing():
    answer = {"tracks": [], "devices": {}, "title": None, "total": 0, "tags": ["a", "b"], "rows": [{"id": 1, "note": ""}]}
    assert outline(answer) == [
        "tracks: none", "devices: none", "title: not known", "total: 0", "tags: a, b", "rows:", "  - id 1",
    ]  # fmt: skip


@pytest.fixture
def time_zone(monkeypatch):
    """In which dates are told; that of this machine again afterwards."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "<+0545>-05:45")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("time_zone")
def test_moments_are_dates_and_times_where_they_are_read_and_what_has_no_end_is_begun():
    track = {"submitted_ms": 1_796_075_225_394, "duration_ms": 90_790.0, "pinned": False, "audio_sha256": "1f" * 32,
             "override": {"at_ms": 1_796_075_225_394}}  # fmt: skip
    assert outline({"tracks": [track], "expires_at_ms": 1_796_075_294_912.0}) == [
        "tracks:",
        '  - submitted 2026-12-01 03:32:05 +0545  duration_ms 90790  pinned false  audio_sha256 1f1f1f1f1f1f...  '
        'override {"at": "2026-12-01 03:32:05 +0545"}',
        "expires_at: 2026-12-01 03:33:14 +0545",
    ]
    assert outline(track)[3] == f"audio_sha256: {'1f' * 32}"


def test_a_row_that_is_wider_than_the_terminal_is_broken_between_its_facts():
    row = "  - id 482f156a9e2edea6  title a long night  bpm 125  status ready"
    assert fitted(row, 40) == ["  - id 482f156a9e2edea6", "    title a long night  bpm 125", "    status ready"]
    assert fitted(row, 80) == [row] and fitted("title: a long  night", 10) == ["title: a long  night"]


def test_a_long_list_is_cut_and_its_length_told():
    assert outline(list(range(60)))[0].endswith("49, ... (60)")


@pytest.mark.parametrize(("words", "taught"), [
    (["version.diff"], "usage: k1edge ask version.diff track= old= new="),
    (["beat.nudge"], "Moves the beats a little: positive is later."),
    (["beats.override", "track=t", "beat=1"], "[beats=] [ops=]"),
    (["track.list", "limit=500"], "k1edge ask: limit: must be at most 200\n"),
    (["track.get", "track=t", "layers=rhythm"], 'layers: must be a list, as ["a", "b"] is\n'),
    (["track.lst"], "there are scene.apply"),
])  # fmt: skip
def test_who_asks_wrongly_is_told_what_the_verb_takes(capsys, words, taught):
    assert main(["ask", *words]) == 2
    assert taught in capsys.readouterr().err
