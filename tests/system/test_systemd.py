"""The unit is sound and hardened; the notifier speaks sd_notify's protocol; the log keeps its fields."""

import errno
import fcntl
import io
import logging
import os
import re
import select
import socket
import subprocess
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import pytest

from k1edge.audio.linein import CLOSE_LIMIT_S
from k1edge.config.mqtt import CREDENTIAL
from k1edge.system.systemd import Notifier, fields, start_logging
from tests.brokers import PATIENCE_S

UNIT = Path(__file__).parents[2] / "systemd" / "k1edge.service"
EXPOSURE_LIMIT = 1.9
ALSA_MAJOR = 116
"""Of the kernel's devices.txt."""


@pytest.fixture
def manager(tmp_path):
    """A notify socket, as systemd would bind it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(PATIENCE_S)
        bound.bind(str(tmp_path / "notify"))
        yield bound


def test_the_unit_verifies_clean(tmp_path):
    # The program is not installed where the tests run; everything else is verified as it is.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE))
    target = tmp_path / "k1edge.target"
    target.write_text(UNIT.with_suffix(".target").read_text())
    done = subprocess.run(["systemd-analyze", "verify", str(unit), str(target)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_starts_a_program_that_there_is():
    (command,) = re.findall(r"^ExecStart=\S+/k1edge (.+)$", UNIT.read_text(), re.MULTILINE)
    asked = [sys.executable, "-m", "k1edge", *command.split(), "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: k1edge run")


def test_light_needs_no_network_and_no_clock():
    text = UNIT.read_text() + UNIT.with_suffix(".target").read_text()
    ties = re.findall(r"^(?:Wants|Requires|After|BindsTo|Requisite)=(.*)$", text, flags=re.MULTILINE)
    assert ties and not re.search("network|time-sync", " ".join(ties))
    assert f"\nWants={UNIT.name} " in text, "which is what the target is for"


def test_restarts_by_themselves_never_reach_the_limit_that_would_end_them():
    said = dict(re.findall(r"^(StartLimit\w+|Restart\w*)=(\S+)$", UNIT.read_text(), flags=re.MULTILINE))
    assert said["Restart"] == "always"
    assert int(said["RestartSec"]) * int(said["StartLimitBurst"]) > int(said["StartLimitIntervalSec"])


def test_a_card_whose_close_hangs_costs_seconds_and_not_the_watchdog_its_patience():
    said = dict(re.findall(r"^(RestartSec|WatchdogSec)=(\d+)$", UNIT.read_text(), flags=re.MULTILINE))
    assert CLOSE_LIMIT_S + int(said["RestartSec"]) <= 3, "ten are all there are until the light"
    assert int(said["WatchdogSec"]) > 2 * CLOSE_LIMIT_S


def test_memory_that_runs_out_takes_the_analysis_and_not_the_light():
    assert {"OOMPolicy=continue", "MemoryMax=512M"} <= set(UNIT.read_text().splitlines())


def test_a_password_that_is_lost_does_not_keep_the_service_from_starting():
    """systemd ends a start for want of a credential that is named by an absolute path, and of no other."""
    (credential,) = [line for line in UNIT.read_text().splitlines() if line.startswith("LoadCredential")]
    name, _, source = credential.partition("=")[2].partition(":")
    assert name == CREDENTIAL
    assert "/" not in source


def test_the_unit_is_hardened():
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT * 10:.0f}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert float(re.search(r"exposure level for k1edge.service: (\S+)", done.stdout)[1]) <= EXPOSURE_LIMIT


def test_the_unit_may_ask_the_kernel_whether_the_clock_is_set_and_not_set_it():
    lines = UNIT.read_text().splitlines()
    assert "ProtectClock=yes" not in lines, "it forbids the question, too"
    filters = [line for line in lines if line.startswith("SystemCallFilter=")]
    assert filters.index("SystemCallFilter=adjtimex clock_adjtime") > filters.index("SystemCallFilter=~@privileged")
    assert "CapabilityBoundingSet=" in lines


def test_the_unit_leaves_what_portaudio_and_the_venue_need():
    lines = [line for line in UNIT.read_text().splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if line.startswith(("MemoryDenyWriteExecute", "Requires=", "RestartPreventExit"))]
    for needed in ("SystemCallErrorNumber=EPERM", "Type=notify", "WatchdogSec=10", "Restart=always", "TimeoutStopSec=5",
                   "SupplementaryGroups=audio", "StateDirectory=k1edge", "RuntimeDirectory=k1edge", "LimitRTPRIO=70",
                   "LimitMEMLOCK=infinity"):  # fmt: skip
        assert needed in lines


def test_a_card_whose_driver_is_loaded_after_the_start_may_be_opened():
    """systemd looks the name of a group of devices up once, at the start of the unit, among those that drivers registered."""
    allowed = [line for line in UNIT.read_text().splitlines() if line.startswith("DeviceAllow=")]
    assert allowed == [f"DeviceAllow=char-{ALSA_MAJOR} rw"]


def test_a_stop_is_told_to_the_daemon_alone():
    """Ended beside it, its broker would carry no last words, and its library would be an alarm."""
    assert "KillMode=mixed" in UNIT.read_text().splitlines()


def test_systemd_hears_of_readiness_life_status_and_the_end(tmp_path, manager):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    notifier.ready("capturing\nfrom hw:1")
    notifier.alive()
    notifier.status("degraded: card absent")
    notifier.stopping("bye")
    heard = [manager.recv(4096).decode() for _ in range(4)]
    assert heard == ["READY=1\nSTATUS=capturing from hw:1", "WATCHDOG=1", "STATUS=degraded: card absent",
                     "STOPPING=1\nSTATUS=bye"]  # fmt: skip


def test_a_new_start_is_given_the_time_of_a_start(tmp_path, manager):
    """The watchdog watches on while a daemon executes itself anew, and nothing is processed meanwhile."""
    (start_s,) = re.findall(r"^TimeoutStartSec=(\d+)$", UNIT.read_text(), flags=re.MULTILINE)
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000000"})
    notifier.starting_anew("to try another configuration")
    notifier.ready("capturing")
    heard = [manager.recv(4096).decode() for _ in range(2)]
    assert heard == [f"WATCHDOG_USEC={start_s}000000\nSTATUS=starting anew to try another configuration",
                     "READY=1\nWATCHDOG_USEC=10000000\nSTATUS=capturing"]  # fmt: skip


def test_an_abstract_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(PATIENCE_S)
        bound.bind("\0k1edge-test-" + str(os.getpid()))
        Notifier({"NOTIFY_SOCKET": f"@k1edge-test-{os.getpid()}"}).alive()
        assert bound.recv(4096) == b"WATCHDOG=1"


def test_without_systemd_nothing_happens():
    notifier = Notifier({})
    notifier.ready("x")
    notifier.alive()
    notifier.close()
    assert notifier.watchdog_s == 0


def test_a_deaf_manager_neither_blocks_nor_fails(tmp_path, manager):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for _ in range(10_000):  # far more than the socket's queue holds
        notifier.alive()
    (tmp_path / "notify").unlink()
    notifier.alive()
    notifier.close()
    notifier.alive()


@pytest.mark.parametrize(
    ("environ", "expected_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdogs_patience_is_known(environ, expected_s):
    assert Notifier(environ).watchdog_s == expected_s


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.handlers, root.level
    yield root
    root.handlers, root.level = before


def journal_environ(stream) -> dict[str, str]:
    file = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{file.st_dev}:{file.st_ino}"}


def test_lines_for_the_journal_carry_priority_and_fields(tmp_path, monkeypatch, root_logger):
    monkeypatch.setitem(sys.modules, "systemd", None)
    with (tmp_path / "stderr").open("w+") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        start_logging("info", journal_environ(stream))
        logging.getLogger("k1edge.x").warning("card %s is gone\nfor good", "hw:1", extra=fields(device="hw:1", tries=3))
        logging.getLogger("k1edge.x").debug("not wanted")
        root_logger.handlers[0].flush()
        stream.seek(0)
        assert stream.read() == "<4>card hw:1 is gone\n<4>for good device=hw:1 tries=3\n"


def test_lines_on_a_terminal_carry_no_priority(monkeypatch, root_logger):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    start_logging("warning", {"JOURNAL_STREAM": "8:1"})
    logging.getLogger("k1edge.x").error("broken", extra=fields(reason="test"))
    root_logger.handlers[0].flush()
    assert sys.stderr.getvalue() == "broken reason=test\n"


def test_the_journal_gets_fields_of_its_own(tmp_path, monkeypatch, root_logger):
    sent = []
    journal = types.SimpleNamespace(send=lambda message, **about: sent.append((message, about)))
    monkeypatch.setitem(sys.modules, "systemd", types.SimpleNamespace(journal=journal))
    with (tmp_path / "stderr").open("w+") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        start_logging("info", journal_environ(stream))
        logging.getLogger("k1edge.x").error("gone", extra=fields(device="hw:1"))
        root_logger.handlers[0].flush()
    ((message, about),) = sent
    assert message == "gone"
    assert about | {"K1_DEVICE": "hw:1", "PRIORITY": 3, "SYSLOG_IDENTIFIER": "k1edge", "LOGGER": "k1edge.x"} == about


LOGS = """if True:
    import logging, sys
    from k1edge.system.systemd import start_logging
    start_logging("info", {})
    log = logging.getLogger("k1edge.x")
"""


@contextmanager
def program(body: str, **given):
    with subprocess.Popen([sys.executable, "-c", LOGS + body], text=True, **given) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def stopped():
    """A pipe that is full, as a terminal after Ctrl-S; reading it lets the writer go on."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"." * 4096)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_nobody_who_logs_waits_for_who_reads_the_log_and_neither_does_the_end(stopped):
    with program("    for number in range(3000): log.info('%d', number)\n    print('alight', flush=True)",
                 stdout=subprocess.PIPE, stderr=stopped[1]) as process:  # fmt: skip
        assert process.communicate(timeout=PATIENCE_S) == ("alight\n", None)
    assert process.returncode == 0


def test_a_log_that_flows_again_says_what_it_has_lost_and_where(stopped):
    reading, writing = stopped
    body = "    for number in range(3000): log.info('%d', number)\n    print(flush=True)\n    input()\n    log.info('at last')"
    with program(body, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writing) as process:
        assert select.select([process.stdout], [], [], PATIENCE_S)[0]
        lines = b""
        while b"\n999\n" not in lines:
            lines += os.read(reading, 4096)
        process.communicate("\n", timeout=PATIENCE_S)
        lines += os.read(reading, 4096)
    *kept, last = lines.decode().lstrip(".").splitlines()
    assert last == "at last" and len(kept) < 3000
    place = 0
    for line in kept:
        lost = re.fullmatch(r"(\d+) of the log's records before this one could not be written", line)
        assert lost or line == str(place)
        place += int(lost[1]) if lost else 1
    assert place == 3000


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "logging.shutdown(); import os; os._exit(3)"])
def test_what_is_logged_right_before_the_end_is_read(end):
    with program(f"    for number in range(900): log.info('%d', number)\n    {end}", stderr=subprocess.PIPE) as process:
        assert process.communicate(timeout=PATIENCE_S)[1].split() == [str(number) for number in range(900)]


def test_what_is_logged_is_not_hushed_with_the_sound_library():
    body = "    import os\n    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n    log.info('the line is open')"
    with program(body, stderr=subprocess.PIPE) as process:
        assert process.communicate(timeout=PATIENCE_S)[1] == "the line is open\n"


def test_what_is_logged_is_what_it_was_at_the_time(monkeypatch, root_logger):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    start_logging("info", {})
    tries = []
    for number in range(100):
        logging.getLogger("k1edge.x").info("%s", tries)
        tries[:] = [number]
    root_logger.handlers[0].flush()
    assert sys.stderr.getvalue().split() == ["[]", *(f"[{number}]" for number in range(99))]


def test_a_record_that_cannot_be_written_ends_nothing_and_is_counted(monkeypatch, root_logger):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    start_logging("info", {})
    for text in ("%d", "%s"):
        logging.getLogger("k1edge.x").info(text, "word")
    root_logger.handlers[0].flush()
    assert sys.stderr.getvalue().splitlines() == ["1 of the log's records before this one could not be written", "word"]


def test_the_count_of_what_was_lost_is_not_lost_when_it_cannot_be_written_either(monkeypatch, root_logger):
    class Full(io.StringIO):
        room = False

        def write(self, text):
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", full := Full())
    start_logging("info", {})
    for number in range(50):
        logging.getLogger("k1edge.x").info("%d", number)
        root_logger.handlers[0].flush()
    full.room = True
    logging.getLogger("k1edge.x").info("at last")
    root_logger.handlers[0].flush()
    assert full.getvalue().splitlines() == ["50 of the log's records before this one could not be written", "at last"]
