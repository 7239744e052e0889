"""Real mosquitto brokers on free loopback ports, with a configuration of the test's own; they can be killed and restarted.

`Mosquitto(folder, *lines)` is a context manager. The fixtures `mosquitto` (open to all) and `broker_folder` come from
`conftest.py`. `credentials`, `acl` and `certificates` write what the variants need.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from k1edge.config.mqtt import MqttSettings

OWN_PORTS = range(20_000, 32_000)
PATIENCE_S = 60.0
"""For things that take milliseconds: only a hang is a failure on a loaded machine."""


def eventually(truth: Callable[[], object], what: str = "", patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds; fail with `what` when it never does."""
    until_s = time.monotonic() + patience_s
    while not truth():
        assert time.monotonic() < until_s, f"never happened: {what or truth}"
        time.sleep(0.005)


def free_port() -> int:
    """A loopback port nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """So many, no two alike, and none that the kernel lends to whoever connects meanwhile."""
    found: set[int] = set()
    while len(found) < count:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.choice(OWN_PORTS)))
            found.add(probe.getsockname()[1])
    return tuple(found)


def listening(port: int) -> bool:
    """Whether somebody accepts on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Mosquitto:
    """One broker process. Its port and configuration survive `kill` and `start`."""

    def __init__(self, folder: Path, *lines: str, tls: bool = False) -> None:
        self.port = free_port()
        self.tls = tls
        self._conf = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        basis = [f"listener {self.port} 127.0.0.1", "user root", "persistence false", "log_type all",
                 "set_tcp_nodelay true"]
        allowed = [] if any(line.startswith("allow_anonymous") for line in lines) else ["allow_anonymous true"]
        self._conf.write_text("\n".join([*basis, *allowed, *lines]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self.port}" if self.tls else f"mqtt://127.0.0.1:{self.port}"

    def settings(self, **more: object) -> MqttSettings:
        """Settings that reach this broker."""
        return MqttSettings(url=self.url, **more)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Returns when it listens."""
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
        assert program, "the tests need mosquitto: apt-get install mosquitto"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", self._conf], stdout=log, stderr=log)
        eventually(lambda: self._process.poll() is not None or listening(self.port), "mosquitto listens")
        assert self._process.poll() is None, self.log

    def kill(self) -> None:
        """As a power cut would: SIGKILL, nothing said to anyone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """The broker stops reading; its sockets stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(PATIENCE_S)


def credentials(folder: Path, **passwords: str) -> tuple[str, ...]:
    """Configuration lines that let only these users in."""
    file = folder / "passwords"
    file.touch(mode=0o600)
    for user, password in passwords.items():
        subprocess.run(["mosquitto_passwd", "-b", file, user, password], check=True, capture_output=True)
    return ("allow_anonymous false", f"password_file {file}")


def acl(folder: Path, *rules: str) -> tuple[str, ...]:
    """Configuration lines for an access list, e.g. `user k1`, `topic read k1/#`."""
    file = folder / "acl"
    file.write_text("\n".join(rules) + "\n")
    file.chmod(0o600)
    return (f"acl_file {file}",)


def certificates(folder: Path) -> dict[str, Path]:
    """A certificate authority, a server certificate for localhost and one for a client, good for a day."""
    names = ("ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key")
    files = {name: folder / name for name in names}
    _openssl("req", "-x509", "-subj", "/CN=test authority", *_new_key(files["ca.key"]), "-out", files["ca.crt"])
    for who, subject, extra in (("server", "/CN=localhost", "subjectAltName=DNS:localhost"), ("client", "/CN=pi", "")):
        wish = folder / f"{who}.csr"
        _openssl("req", "-subj", subject, *_new_key(files[f"{who}.key"]), "-out", wish)
        signing = ["-CA", files["ca.crt"], "-CAkey", files["ca.key"], "-CAcreateserial", "-days", "1"]
        extensions = folder / f"{who}.ext"
        extensions.write_text(extra)
        _openssl("x509", "-req", "-in", wish, *signing, "-extfile", extensions, "-out", files[f"{who}.crt"])
    return files


def tls_lines(files: dict[str, Path]) -> tuple[str, ...]:
    """Configuration lines for TLS with these certificates."""
    return (f"cafile {files['ca.crt']}", f"certfile {files['server.crt']}", f"keyfile {files['server.key']}")


def _new_key(file: Path) -> list[str | Path]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file]


def _openssl(*args: str | Path) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)
