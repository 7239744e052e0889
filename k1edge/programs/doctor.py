"""`k1edge doctor`: is everything as it should be, and if not, what is to be done.

Consumes the configuration, the broker, the sound card and the machine; emits a sentence for each check, or JSON. Listens for
a few seconds; what it tries at the broker changes nothing. Where the daemon holds the card, it is asked what the line is like.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from k1edge import __version__
from k1edge.audio import AudioError, StuckError
from k1edge.config import BUILT_IN, ConfigError, MqttSettings, Settings, find, load
from k1edge.config.mqtt import Place, credential
from k1edge.frames import FULL_SCALE
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Publication, Scribe, Stamp
from k1edge.k1.link import Identity, Link
from k1edge.programs import findings
from k1edge.programs.findings import Finding, Heard, Rights, Sound
from k1edge.programs.options import some_seconds, until, visitor
from k1edge.system.machine import room, temperature_c
from k1edge.system.state import INSTALLED, state_folder
from k1edge.system.timesync import WRITTEN_S, is_synchronised

LISTEN_S = 3.0
CONNECT_S = 10.0
ANSWER_S = 3.0
POLL_S = 0.05
SILENT_DBFS = -180.0
PACKAGES = ("numpy", "aubio-ledfx", "sounddevice", "paho-mqtt", "pydantic")
SYSTEMD = Path("/run/systemd/system")
STRANGER = "k1edge-doctor"
"""A node that does not exist: what is tried on it reaches nobody."""
METER_LOW_DBFS, METER_CELLS = -60.0, 30
LEAST_WIDTH, LONGEST = 24, 10_000
UNBROKEN = "\N{NO-BREAK SPACE}"
MARKS = {"ok": "  ok   ", "warning": "WARNING", "fault": " FAULT "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge doctor                                 this installation: what is wrong with it, and what to do
  k1edge doctor --config new.toml --seconds 10

exit code: 0 nothing is at fault (there may be warnings), 1 something is"""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: as `k1edge run`)")
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")
    parser.add_argument("--seconds", type=some_seconds, default=LISTEN_S, help="how long to listen to the input (%(default)s)")


def main(args: argparse.Namespace) -> int:
    found: list[Finding] = []
    for finding in examine(find(args.config), args.seconds, meter=sys.stderr.isatty() and not args.json):
        found.append(finding)
        if not args.json:
            print(said(finding, shutil.get_terminal_size().columns if sys.stdout.isatty() else None), flush=True)
    level = findings.worst(found)
    if args.json:
        print(json.dumps({"level": level, "findings": [finding._asdict() for finding in found]}, indent=2))
    return int(level == "fault")


def examine(path: Path | None, seconds: float, meter: bool = False) -> Iterator[Finding]:
    """Every check, as its verdict is reached; a broken configuration leaves out what depends on it."""
    yield findings.versions(_versions(), sys.maxsize > 2**32)
    yield findings.clock(is_synchronised(), time.time() > WRITTEN_S)
    yield findings.temperature(temperature_c())
    yield _disk()
    service = _service()
    yield findings.service(service)
    try:
        settings = load(path)
    except ConfigError as error:
        yield from findings.configuration(error, str(path))
        return
    yield from findings.configuration(None, str(path or BUILT_IN))
    heard = Heard()
    if settings.mqtt.embedded:
        yield findings.broker(settings.mqtt, False, "")
    elif secret := _kept_from_us(settings.mqtt, path):
        yield findings.denied(secret)
    else:
        heard = yield from _ask_broker(settings)
    told = heard.telemetry
    if told is not None and told.input_level_dbfs is not None:
        # The daemon holds the card, and a second reader of it would be refused.
        yield findings.told_sound(told.input_level_dbfs, heard.audio)
    else:
        yield _listen(settings, service.get("ActiveState") == "active", seconds, meter)


def said(finding: Finding, columns: int | None = None) -> str:
    """A finding as a person reads it. In a terminal of so many columns its lines stand below each other, and what is in
    `backquotes`, a command to copy, is in one."""
    head = f"{MARKS[finding.level]} {finding.check:<12} "
    width = max(columns - len(head), LEAST_WIDTH) if columns else LONGEST
    lines = textwrap.wrap(finding.sentence, width)
    whole = re.sub("`.*?`", lambda command: command[0].replace(" ", UNBROKEN), finding.remedy)
    lines += textwrap.wrap(whole, width, initial_indent=" -> ", subsequent_indent="    ", break_long_words=False,
                           break_on_hyphens=False)
    return head + f"\n{'':{len(head)}}".join(lines).replace(UNBROKEN, " ")


def _kept_from_us(settings: MqttSettings, path: Path | None) -> Path | None:
    """The file of a password that is there, and is not ours to read."""
    if path is None or not settings.username or settings.password is not None:
        return None
    secret = credential(Place(path.absolute().parent, os.environ))
    return secret if secret.exists() else None


def _versions() -> dict[str, str]:
    found = {"k1edge": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return found | {system or platform.system(): platform.machine()}


def _disk() -> Finding:
    folder = INSTALLED if os.path.lexists(INSTALLED) else state_folder()
    return findings.disk(*room(folder), str(folder))


def _service() -> dict[str, str]:
    if not SYSTEMD.exists():
        return {}
    command = ["systemctl", "show", "k1edge", "-p", "LoadState,ActiveState,StatusText,NRestarts,MemoryCurrent"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {key: value for key, _, value in (line.partition("=") for line in shown.splitlines())}


def _ask_broker(settings: Settings) -> Iterator[Finding]:
    """The findings that a connection yields; returns what was heard on it."""
    scribe = Scribe(settings.site, settings.edge)
    own = [contract.topic(model, settings.site, settings.edge) for model in
           (contract.Status, contract.Info, contract.Telemetry, contract.AudioState)]  # fmt: skip
    filters = (*own, contract.topic(contract.DeviceStatus, settings.site, "+"))
    link = Link(settings.mqtt, Identity(visitor("k1edge-doctor"), filters, payload_limit=131_072))
    link.start()
    with closing(link):
        until(lambda: link.connected or link.counters.failures > 1, CONNECT_S, POLL_S)
        yield findings.broker(settings.mqtt, link.connected, link.last_reason or link.parting)
        if not link.connected:
            return Heard()
        heard = _hear(link, settings)
        yield from findings.access(_try_rights(link, scribe), _user(settings.mqtt))
    yield findings.daemon(heard, __version__)
    yield findings.k1s(heard, settings.k1, settings.site)
    yield from findings.latency(heard.telemetry, left_ms(settings))
    return heard


def left_ms(settings: Settings) -> float:
    """What a beat has for its way to the K1 with the most latency."""
    return settings.beat.lead_ms - settings.audio.input_latency_ms - settings.k1.slowest[1]


def _user(settings: MqttSettings) -> str:
    return settings.username or (Path(settings.client_cert).name if settings.client_cert else "")


def _hear(link: Link, settings: Settings) -> Heard:
    """What is retained comes at once; for telemetry it waits a little more than its period."""
    last: dict[type[contract.Message], contract.Message] = {}
    devices: dict[str, str] = {}
    strangers: dict[str, str] = {}

    def collected() -> bool:
        for topic, payload, _ in link.receive():
            try:
                message = contract.decode(topic, payload)
                node = contract.address(topic).node
            except ContractError as error:
                name = topic.split("/")[-2]
                if payload and topic == contract.topic(contract.DeviceStatus, settings.site, name):
                    strangers[contract.printable(name)] = error.reason
                continue
            if isinstance(message, contract.DeviceStatus):
                devices[node] = message.state
            else:
                last[type(message)] = message
        return contract.Telemetry in last

    until(collected, 1.0 + 1.5 / settings.telemetry.rate_hz, POLL_S)
    return Heard(last.get(contract.Status), last.get(contract.Info), last.get(contract.Telemetry), devices,
                 last.get(contract.AudioState), strangers)


def _try_rights(link: Link, scribe: Scribe) -> Rights:
    """Three messages that nobody misses: an event of our own, a ping to no K1, an event of nobody's."""
    if link.protocol != "5":
        return Rights()
    now = Stamp(time.time_ns() // 1_000_000, is_synchronised())
    trial = {"kind": "link", "code": "DOCTOR", "reason": "k1edge doctor tries the access list"}
    ping = scribe.write_to(STRANGER, contract.PingCommand, now, sent_ms=now.ts_ms)
    return Rights(
        _may(link, scribe.write(contract.Event, now, **trial)),
        _may(link, Publication(ping.topic, ping.payload, 1)),
        _may(link, scribe.write_to(STRANGER, contract.Event, now, **trial)),
    )


def _may(link: Link, publication: Publication) -> bool:
    """Whether the broker takes a QoS 1 message; MQTT 5 confirms or refuses each."""
    refused = link.counters.refused
    link.send(publication)
    calm = 0

    def answered() -> bool:
        nonlocal calm
        calm = 0 if link.queued else calm + 1  # between two queues it is in neither for a moment
        return calm > 1

    return until(answered, ANSWER_S, POLL_S) and link.counters.refused == refused


def _listen(settings: Settings, service_runs: bool, seconds: float, meter: bool) -> Finding:
    from k1edge.audio.linein import LineIn

    try:
        line = LineIn(settings.audio)
    except AudioError as error:
        return findings.no_sound(error, service_runs)
    try:
        return findings.sound(_measured(line, seconds, meter))
    except AudioError as error:
        return findings.no_sound(error, False)
    finally:
        with suppress(StuckError):  # it ends with this program
            line.close()


def _measured(line: object, seconds: float, meter: bool) -> Sound:
    """Listens for so long. Raises AudioError."""
    power, peak, clipped, total, count = 0.0, 0.0, 0, 0.0, 0
    for block in line:
        if block is None:
            continue
        samples = block.samples
        power += float(np.dot(samples, samples))
        loudest = float(np.ptp(samples)) / 2  # an offset is no sound
        peak = max(peak, loudest)
        clipped += int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
        total += float(samples.sum())
        count += len(samples)
        if meter:
            _show(_dbfs(loudest))
        if count >= seconds * line.fmt.rate_hz:
            break
    heard_s = count / line.fmt.rate_hz
    mean = total / count
    level_dbfs = _dbfs(max(power / count - mean * mean, 0.0) ** 0.5)
    channels = line.channels()
    clipped = max((clipped, *(each.clipped for each in channels)))
    return Sound(line.device.name, heard_s, level_dbfs, _dbfs(peak), clipped / heard_s, mean, line.lost_samples, channels)


def _show(level_dbfs: float) -> None:
    """The level, as a bar on standard error that is written over."""
    cells = round(max(0.0, 1 - level_dbfs / METER_LOW_DBFS) * METER_CELLS)
    sys.stderr.write(f"\r        input {'#' * min(cells, METER_CELLS):<{METER_CELLS}} {level_dbfs:6.1f} dBFS \r")


def _dbfs(amplitude: float) -> float:
    return 20 * float(np.log10(amplitude)) if amplitude > 10 ** (SILENT_DBFS / 20) else SILENT_DBFS
