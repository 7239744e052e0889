"""Fixtures for the whole suite: sound without sound hardware."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.brokers import Mosquitto
from tests.sound import PulseLine, WireLine, build_plugin

# The same examples in every run, which may take as long as the machine does; `--hypothesis-profile default` draws others.
settings.register_profile("anywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")

# What k1edge takes from its environment is what a test gives it, also where the tests run in a service, or in a container with
# an init of its own: a daemon that is a service begins by a broken file, too. Now, before the tests copy any of it.
for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY",
             "RUNTIME_DIRECTORY", "XDG_STATE_HOME", "K1EDGE_CONFIG"):  # fmt: skip
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def signals_as_before():
    """A program that is run here has its own way with Ctrl-C, which would be that of these tests from then on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def wire_library(tmp_path_factory):
    return build_plugin(tmp_path_factory.mktemp("alsa"))


@pytest.fixture
def wire_line(tmp_path, wire_library):
    """An ALSA line without a plug yet: `.plug(frames)`, `.fault(word)`, `.env` for the process that captures."""
    return WireLine(tmp_path / "wire", wire_library)


@pytest.fixture
def pulse_line():
    """A running PulseAudio null sink: `.play(wav)`, `.env` for the process that captures its monitor."""
    with PulseLine.running(44_100) as line:
        yield line


@pytest.fixture
def mosquitto(tmp_path):
    """A running mosquitto that lets everyone in."""
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def public():
    """A folder that everybody may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def unprivileged():
    """Root may read anything, so it steps down."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def hangs_up():
    """What is started hears when its terminal is closed, even if these tests themselves were told not to (`nohup`)."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
