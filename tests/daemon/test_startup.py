"""Whatever is wrong with the file, the daemon starts with the best there is, and says why."""

import errno
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.config import ConfigError, Settings
from k1edge.daemon.startup import INVALID, ROLLED_BACK, SAFE_MODE, begin, counted
from k1edge.system import generations
from k1edge.system.generations import Generation, Generations, Refusal, digest
from tests.failing import full, raising

GOOD = 'site = "hall"\nedge = "pi"\n[mqtt]\nurl = "mqtts://broker:8883"\n'
BETTER = GOOD + "[beat]\nlead_ms = 200\n"
BAD = GOOD + "[beat]\nlead_ms = 20\nlaed_ms = 3\n"
WHEN = "2026-11-22T12:00:00Z"


class Machine:
    """A machine with a configuration file, a state folder and a service that starts again and again."""

    def __init__(self, folder):
        self.file = folder / "k1edge.toml"
        self.environ = {"STATE_DIRECTORY": str(folder / "state"), "NOTIFY_SOCKET": "/run/x"}
        self.store = Generations(folder / "state", self.file)

    def start(self, text=None, **instead):
        if text is not None:
            self.file.write_text(text)
        return begin(self.file, instead, self.environ)

    @property
    def text(self):
        return self.file.read_text() if self.file.exists() else ""

    def prove(self, start):
        return self.store.promote(start.running, WHEN, reached=True)

    def live(self, text=None):
        """A start that does well, and a stop in order."""
        start = self.start(text)
        self.prove(start) if start.on_trial else self.store.survived()
        return start

    def reboot(self, monkeypatch, name):
        monkeypatch.setattr("k1edge.daemon.startup.machine_boot", lambda: name)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def proven(machine):
    """Where GOOD has done well."""
    machine.live(GOOD)
    return machine


def test_a_new_file_is_tried_and_then_trusted(machine):
    first = machine.start(GOOD)
    assert (first.origin, first.on_trial, first.generation, first.code) == ("file", True, 1, "")
    assert first.settings.site == "hall"
    machine.prove(first)
    again = machine.start()
    assert (again.origin, again.on_trial, again.generation, again.code) == ("file", False, 1, "")


def test_a_broken_file_starts_what_did_well_and_every_fault_is_told(proven):
    start = proven.start(BAD)
    assert (start.origin, start.code, start.generation) == ("last-known-good", INVALID, 1)
    assert start.settings.site == "hall"
    assert len(start.faults) == 2
    assert "k1edge.toml:6: beat.lead_ms" in start.faults[0]
    assert start.refusal.hash == digest(BAD.encode())
    assert start.refusal.reason.startswith("2 faults: ")


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"[", b"x" * 2_000_000, None], ids=["bytes", "toml", "huge", "missing"])
def test_whatever_happens_to_the_file_it_starts(proven, broken):
    proven.file.write_bytes(broken) if broken is not None else proven.file.unlink()
    start = proven.start()
    assert (start.origin, start.code, start.settings.site) == ("last-known-good", INVALID, "hall")
    assert start.faults


def test_with_nothing_known_it_starts_with_defaults_under_the_name_and_at_the_broker_of_the_broken_file(machine):
    start = machine.start(BAD)
    assert (start.origin, start.code, start.generation) == ("defaults", INVALID, 0)
    assert (start.settings.site, start.settings.edge, start.settings.mqtt.host) == ("hall", "pi", "broker")
    assert start.settings.beat.lead_ms == 150


def test_defaults_are_bare_where_not_even_the_name_can_be_read(machine):
    assert machine.start("site = 'no topic'\n[mqtt]\nurl = 3").settings.mqtt.embedded
    assert machine.start("]").settings.mqtt.embedded


@pytest.mark.parametrize(
    ("fault", "known"),
    [("keepalive_s = 4\n", ("hall", "pi", "broker")), ("qos = 1\n", ("hall", "pi", "broker")),
     ('"a key" = 1\n', ("hall", "pi", "broker")), ("ca_file = 'gone.crt'\n", ("hall", "pi", "broker")),
     ("username = 'u'\npassword_file = 'gone'\n", ("hall", "pi", "broker")),
     ("client_key = 'k1edge.toml'\n", ("hall", "pi", "broker")), ("password_file = 'k1edge.toml'\n", ("hall", "pi", "broker"))],
)  # fmt: skip
def test_defaults_lose_no_more_of_who_the_edge_is_than_what_is_at_fault(machine, fault, known):
    start = machine.start(GOOD + fault)
    assert (start.origin, start.code) == ("defaults", INVALID)
    assert (start.settings.site, start.settings.edge, start.settings.mqtt.host) == known


def test_a_name_that_is_no_topic_loses_neither_the_other_nor_the_broker(machine):
    start = machine.start(GOOD.replace("hall", "Blue Room"))
    assert (start.settings.site, start.settings.edge, start.settings.mqtt.host) == (Settings().site, "pi", "broker")


def test_a_password_that_is_away_at_one_start_does_not_lead_to_a_broker_of_our_own(machine):
    secret = machine.file.parent / "secret"
    secret.write_text("geheim")
    machine.live(GOOD + 'username = "u"\npassword_file = "secret"\n')
    secret.unlink()
    start = machine.start()
    assert (start.settings.site, start.settings.mqtt.host, start.settings.mqtt.username) == ("hall", "broker", "u")


NAMED = GOOD + 'username = "edge/pi"\n'


@pytest.fixture
def credential(machine):
    """What systemd hands over."""
    file = machine.file.parent / "credentials" / "mqtt-password"
    file.parent.mkdir()
    file.write_text("geheim")
    machine.environ["CREDENTIALS_DIRECTORY"] = str(file.parent)
    return file


def test_a_credential_that_is_empty_costs_the_password_and_nothing_else(machine, credential):
    machine.live(NAMED + "[beat]\nlead_ms = 200\n")
    credential.write_text("")
    start = machine.start()
    assert (start.code, start.settings.mqtt.username, start.settings.mqtt.password) == (INVALID, "edge/pi", None)
    assert (start.settings.site, start.settings.mqtt.host, start.settings.beat.lead_ms) == ("hall", "broker", 200)
    assert "is empty" in start.faults[0]


@pytest.mark.parametrize("mistyped", [GOOD, GOOD + "username = 5\n", NAMED.replace("hall", "Blue Room")])
def test_a_first_file_that_does_not_go_with_its_credential_still_says_where_the_broker_is(machine, credential, mistyped):
    if "edge/pi" in mistyped:
        credential.write_text("")
    start = machine.start(mistyped)
    assert (start.origin, start.code) == ("defaults", INVALID)
    assert (start.settings.edge, start.settings.mqtt.host, start.settings.mqtt.password) == ("pi", "broker", None)


def test_an_older_generation_is_taken_where_the_newest_does_not_load_any_more(proven, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    proven.live(GOOD + f'username = "u"\npassword_file = "{secret}"\n')
    secret.unlink()
    start = proven.start()
    assert (start.origin, start.generation, start.code) == ("last-known-good", 1, INVALID)


def test_relative_paths_in_a_generation_still_lead_from_the_file_s_folder(machine):
    (machine.file.parent / "secret").write_text("geheim")
    machine.live(GOOD + 'username = "u"\npassword_file = "secret"\n')
    start = machine.start(BAD)
    assert start.settings.mqtt.password.get_secret_value() == "geheim"


def test_a_folder_that_is_closed_to_the_service_starts_what_did_well(public, request):
    (public / "etc").mkdir()
    machine = Machine(public / "etc")
    machine.environ["STATE_DIRECTORY"] = str(public / "state")
    machine.store = Generations(public / "state", machine.file)
    machine.live(NAMED)
    (public / "etc").chmod(0)
    request.getfixturevalue("unprivileged")
    start = machine.start()
    assert (start.origin, start.code, start.settings.mqtt.username) == ("last-known-good", INVALID, "edge/pi")
    assert "permission denied" in start.faults[0]


def test_a_person_at_a_terminal_is_told_the_faults_where_there_is_nothing_to_fall_back_upon(machine):
    del machine.environ["NOTIFY_SOCKET"]
    with pytest.raises(ConfigError, match="lead_ms"):
        machine.start(BAD)
    machine.live(GOOD)
    assert machine.start(BAD).origin == "last-known-good"


def test_a_fault_of_the_command_line_is_told_even_where_there_is(proven):
    del proven.environ["NOTIFY_SOCKET"]
    with pytest.raises(ConfigError, match="site"):
        proven.start(site="no topic")


def test_without_a_file_there_is_nothing_to_remember(machine):
    start = begin(None, {"site": "demo"}, machine.environ)
    assert (start.settings.site, start.origin, start.store, start.on_trial) == ("demo", "defaults", None, False)
    assert not machine.store.folder.exists()


def test_what_the_command_line_says_holds_in_every_fallback(proven):
    assert proven.start(BAD, site="other").settings.site == "other"


def test_a_trial_that_dies_is_given_up_at_the_next_start_and_not_tried_again(proven):
    assert proven.start(BETTER).on_trial
    start = proven.start()
    assert (start.origin, start.code, start.generation) == ("last-known-good", ROLLED_BACK, 1)
    assert "died" in start.refusal.reason
    proven.store.survived()
    assert proven.start().code == ROLLED_BACK, "the file stands, and still is not trusted"
    proven.store.survived()
    assert proven.start(BETTER + "\n").on_trial, "an edit is another attempt"


def test_a_refused_file_is_tried_again_when_somebody_asks(proven):
    proven.start(BETTER)
    proven.start()
    proven.store.survived()
    proven.store.retry()
    assert proven.start().on_trial


def test_two_failed_starts_in_a_row_lead_to_safe_mode_under_the_old_name(machine):
    machine.live(BETTER)
    machine.start()
    machine.start()
    start = machine.start()
    assert (start.origin, start.code) == ("defaults", SAFE_MODE)
    assert (start.settings.site, start.settings.mqtt.host, start.settings.beat.lead_ms) == ("hall", "broker", 150)


@pytest.mark.parametrize(
    ("text", "faults", "known"),
    [(GOOD.replace("//", "/"), 1, False), ("]", 1, False), (BAD, 2, False), (GOOD, 0, True), ("site = 'hall'\n", 0, True)],
)
def test_safe_mode_knows_what_is_wrong_with_the_file_and_that_its_broker_may_not_be_known(machine, text, faults, known):
    starts = [machine.start(text) for _ in range(3)]
    assert starts[-1].code == SAFE_MODE
    assert [(len(each.faults), each.broker_known) for each in starts] == [(faults, known)] * 3


def test_a_trial_that_dies_and_a_fallback_that_dies_are_two(proven):
    proven.start(BETTER)
    assert proven.start().code == ROLLED_BACK
    assert proven.start().code == SAFE_MODE


def test_safe_mode_that_survives_tries_again_at_the_next_start(proven):
    for _ in range(3):
        start = proven.start()
    assert start.code == SAFE_MODE
    proven.store.survived()
    assert (proven.start().code, proven.start().origin) == ("", "file")


def test_a_restart_by_hand_leaves_safe_mode(proven):
    for _ in range(3):
        start = proven.start()
    with counted(start):
        assert start.code == SAFE_MODE
    assert proven.start().code == ""


def test_a_file_that_somebody_mends_in_safe_mode_is_tried_at_once(proven):
    for _ in range(3):
        start = proven.start(BETTER)
    assert start.code == SAFE_MODE
    mended = proven.start(BETTER + "# mended\n")
    assert (mended.origin, mended.on_trial, mended.code) == ("file", True, "")


def test_what_is_staged_in_safe_mode_is_tried_at_once(proven):
    for _ in range(3):
        proven.start()
    proven.store.stage(Generation(BETTER.encode(), "remote", over=digest(GOOD.encode())))
    start = proven.start()
    assert (start.origin, start.on_trial) == ("remote", True)


def test_a_version_that_is_put_back_runs_what_it_ran_before_the_one_that_died(machine, tmp_path, monkeypatch):
    current = tmp_path / "venv"
    monkeypatch.setattr(sys, "prefix", str(current))
    current.symlink_to("old")
    machine.live(BETTER)
    current.unlink()
    current.symlink_to("new")
    for _ in range(3):
        start = machine.start()
    assert start.code == SAFE_MODE
    current.unlink()
    current.symlink_to("old")
    start = machine.start()
    assert (start.origin, start.code, start.settings.beat.lead_ms) == ("file", "", 200)


def test_the_first_file_ever_gets_a_second_chance(machine):
    machine.start(GOOD)
    assert machine.start().on_trial
    assert machine.start().code == SAFE_MODE


def test_power_cuts_are_not_failed_starts_and_do_not_condemn_a_trial(proven, monkeypatch):
    proven.file.write_text(BETTER)
    for boot in range(5):
        proven.reboot(monkeypatch, f"boot {boot}")
        start = proven.start()
        assert (start.on_trial, start.code) == (True, "")


@pytest.mark.parametrize(("end", "starts"), [(None, 0), (SystemExit(0), 0), (KeyboardInterrupt(), 0), (ValueError(), 1)])
def test_a_start_that_is_ended_in_order_is_not_a_failed_one(proven, end, starts):
    try:
        with counted(proven.start()):
            if end is not None:
                raise end
    except BaseException as error:
        assert error is end
    assert proven.store.record().starts == starts


def test_a_stop_on_trial_waits_for_no_card_and_needs_no_room_to_be_no_death(proven, monkeypatch):
    start = proven.start(BETTER)

    with monkeypatch.context() as patch:
        patch.setattr(generations, "write_whole", full)
        patch.setattr(os, "fsync", full)
        with counted(start):
            pass
    again = proven.start()
    assert (again.on_trial, again.code, again.settings.beat.lead_ms) == (True, "", 200)


def remote(text, over, origin="remote"):
    fixed = {"site": "hall", "mqtt": {"url": "mqtts://broker:8883"}}
    return Generation(text.encode(), origin, "/", fixed, digest(over.encode()))


LOUD = "[telemetry]\nrate_hz = 2.0\n"


def test_a_staged_configuration_goes_before_the_file_until_the_file_is_edited(proven):
    proven.store.stage(remote(LOUD, over=GOOD))
    start = proven.live()
    assert (start.origin, start.settings.telemetry.rate_hz, start.settings.site) == ("remote", 2.0, "hall")
    again = proven.live()
    assert (again.origin, again.generation, again.on_trial) == ("remote", 2, False)
    assert proven.start(BETTER).origin == "file"


def test_a_staged_configuration_does_not_go_before_an_edit_nobody_has_started_yet(proven):
    proven.store.stage(remote(LOUD, over=GOOD))
    assert proven.start(BETTER).origin == "file"


def test_a_staged_configuration_that_dies_leaves_the_edge_as_it_was(proven):
    proven.store.stage(remote(LOUD, over=GOOD))
    proven.start()
    start = proven.start()
    assert (start.origin, start.code, start.generation) == ("file", "", 1), "what is meant to run is running"
    assert (start.refusal.code, start.refusal.hash) == (ROLLED_BACK, digest(LOUD.encode()))
    proven.store.survived()
    later = proven.start()
    assert later.refusal.told
    assert later.code == ""


def test_a_staged_configuration_that_dies_while_the_file_is_on_trial_is_given_up_and_said(proven):
    proven.start(BETTER)
    proven.store.stage(remote(LOUD, over=BETTER))
    proven.start()
    start = proven.start()
    assert (start.origin, start.on_trial, start.code) == ("file", True, "")
    assert (start.refusal.code, start.refusal.hash) == (ROLLED_BACK, digest(LOUD.encode()))
    proven.prove(start)
    assert proven.store.candidate() is None, "it would be tried at some later start"


def test_what_was_given_up_and_told_is_not_said_of_a_later_edit(proven):
    proven.start(BETTER)
    proven.start()
    proven.store.survived()
    start = proven.start(BETTER + "# mended\n")
    assert (start.on_trial, start.refusal) == (True, None)


def test_a_staged_configuration_that_dies_where_the_file_was_given_up_is_not_tried_again(proven):
    proven.start(BETTER)
    proven.start()
    proven.store.survived()
    proven.store.stage(remote(LOUD, over=BETTER))
    proven.start()
    assert proven.start().origin == "last-known-good"
    proven.store.survived()
    assert proven.start().origin == "last-known-good"


def test_a_rollback_by_hand_holds_against_the_file_that_was_not_wanted(proven):
    proven.live(BETTER)
    old = proven.store.kept()[1]
    proven.store.stage(replace(old, origin="rollback", over=digest(BETTER.encode()), number=0))
    assert proven.live().settings.beat.lead_ms == 150
    start = proven.start()
    assert (start.origin, start.generation, start.code) == ("last-known-good", 3, "")


def test_only_the_local_file_allows_configurations_over_mqtt(machine):
    assert not machine.start(GOOD).accepts
    assert machine.start(GOOD + "accept_config = true\n").accepts
    assert not machine.start(BAD.replace("[mqtt]", "[mqtt]\naccept_config = true")).accepts


def test_what_is_judged_compares_with_what_did_well(proven):
    assert proven.start(BETTER).parts.suspect == {"engine"}
    proven.store.survived()
    assert proven.start(GOOD.replace("broker", "other")).parts.suspect == {"broker"}


EVENTS = {
    "edit": lambda machine: machine.file.write_text(BETTER),
    "edit back": lambda machine: machine.file.write_text(GOOD),
    "typo": lambda machine: machine.file.write_text(BAD),
    "loss": lambda machine: machine.file.unlink(missing_ok=True),
    "remote": lambda machine: machine.store.stage(remote(LOUD, over=machine.text)),
    "broken remote": lambda machine: machine.store.stage(remote("[", over=machine.text)),
    "retry": lambda machine: machine.store.retry(),
    "nothing": lambda machine: None,
}
ENDS = {
    "well": lambda machine, start: machine.prove(start) if start.on_trial else machine.store.survived(),
    "death": lambda machine, start: None,
    "stop": lambda machine, start: machine.store.withdrew(anew=start.code == SAFE_MODE),
    "failure": lambda machine, start: start.on_trial and machine.store.refuse(Refusal(start.running.hash, ROLLED_BACK, "x")),
}


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.sampled_from(sorted(ENDS))), max_size=6))
def test_whatever_has_happened_it_starts_as_the_same_edge_and_says_why_it_does_not_run_what_it_should(story):
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        machine.live(GOOD)
        for event, end in story:
            EVENTS[event](machine)
            start = machine.start()
            assert (start.settings.site, start.settings.mqtt.host) == ("hall", "broker")
            assert start.origin != "defaults" or start.code == SAFE_MODE
            assert (start.origin in ("last-known-good", "defaults")) == bool(start.code)
            assert not start.code or start.refusal.reason
            ENDS[end](machine, start)
        machine.store.survived()
        machine.live(GOOD + "# mended\n")
        last = machine.start()
        assert (last.origin, last.code, last.generation) == ("file", "", machine.store.kept()[0].number)


def test_a_state_that_cannot_be_written_is_said_and_it_starts(proven, monkeypatch):
    monkeypatch.setattr(generations, "write_whole", raising(OSError(errno.EROFS, "Read-only file system")))
    start = proven.start(BETTER)
    assert "Read-only file system" in start.complaint
    assert start.settings.beat.lead_ms == 200
    with counted(start):
        pass


def test_a_state_folder_that_cannot_even_be_made_is_said(machine):
    (machine.file.parent / "state").write_text("in the way")
    start = machine.start(GOOD)
    assert start.complaint
    assert start.settings.site == "hall"


def test_a_record_of_a_refusal_is_written_once(proven, monkeypatch):
    proven.store.refuse(Refusal(digest(BETTER.encode()), ROLLED_BACK, "no sound came"))
    written = []
    monkeypatch.setattr(Generations, "refuse", lambda self, refusal: written.append(refusal))
    assert proven.start(BETTER).refusal.reason == "no sound came"
    assert not written


def test_the_environment_of_the_process_is_the_default(machine, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", machine.environ["STATE_DIRECTORY"])
    machine.file.write_text(GOOD)
    begin(machine.file, {})
    assert machine.store.record().starts == 1
    assert os.environ["STATE_DIRECTORY"] == str(machine.store.folder.parents[1])
