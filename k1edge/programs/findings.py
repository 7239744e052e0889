"""What the doctor makes of what it measured: each check turns figures into a finding in plain words.

Consumes figures and messages, emits `Finding`s. No I/O and no clock, so that every verdict can be tried without the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from k1edge import box
from k1edge.audio import BUSY, AudioError
from k1edge.config import ConfigError, K1Settings, MqttSettings
from k1edge.config.mqtt import CREDENTIAL
from k1edge.dsp.health import CLIPPED_PER_S, DC_SHARE, LOW_DBFS, REMEDIES, are_opposite, is_dead
from k1edge.frames import Channel
from k1edge.k1 import contract

Level = Literal["ok", "warning", "fault"]

HOT_C, WARM_C = 80.0, 70.0
"""A Pi slows itself down from 80 degC, and more at 85."""
DISK_WARNING_MB = 200.0
BUSY_PCT = 70.0
"""Of a hop's time, for the slowest in a hundred: above it there is no reserve for a hot day."""
QUIET = dict.fromkeys(("LEVEL_LOW", "NO_SIGNAL"), "; nothing may be playing just now")
OURS = ("k1edge", "python", "process")
"""What a process of the service is called: the second, when it has started itself anew; the third, where we may not look."""
RESTARTS = 5
SERVICE = "journalctl -u k1edge -b"
LIMIT_MEMORY = "add cgroup_enable=memory to the one line of /boot/firmware/cmdline.txt and restart the machine"
"""The firmware of a Raspberry Pi has it off by default; `MemoryMax=` of the unit says nothing then."""
LOGIN = "check `username` and the password: `scripts/broker-setup` made one for edge/<id>"
NO_PASSWORD = f"write the password into the file {CREDENTIAL} beside the configuration, then: systemctl restart k1edge"
NAMES = "write in `url` a name that the certificate holds, or add this one: `sudo scripts/broker-setup --host NAME SITE`"
ENCRYPTED = ("begin `url` with mqtts:// if that port is an encrypted one, else with mqtt://; give `client_cert` and "
             "`client_key` if it wants a certificate, as port 8884 of `scripts/broker-setup` does: one that has not expired")
REFUSALS = (
    ("another client", "two edges have the same `site` and `edge`, and put each other out: give one another `edge`"),
    ("not authori", LOGIN),
    ("bad user name", LOGIN),
    ("not yet valid", "set the clock (`timedatectl`): to it, the broker's certificate lies in the future"),
    ("expired", "renew the broker's certificate, or set the clock (`timedatectl`)"),
    ("hostname mismatch", NAMES),
    ("ip address mismatch", NAMES),
    ("key values mismatch", "give the `client_key` that was made with `client_cert`"),
    ("certificate", "set `ca_file` to the authority that signed the broker's certificate"),
    ("refused", "start the broker (`systemctl start mosquitto`), and check the port in `url`"),
    ("name", "check the host in `url`, and that this machine has a network; one in .local needs `apt install libnss-mdns`"),
    *((part, "check the host in `url`, the cable or WiFi, and that no firewall is in between")
      for part in ("timed out", "unreachable", "no route")),
    ("does not answer", "check that a broker, not another program, listens at `url`"),
    ("closed before it was accepted", ENCRYPTED),
    ("reset by peer", ENCRYPTED),
)
"""What a failed connection says, in part, and what to do; the first that fits."""


class Finding(NamedTuple):
    """One check's verdict."""

    check: str
    level: Level
    sentence: str
    remedy: str = ""


class Sound(NamedTuple):
    """What a few seconds of the input were like."""

    device: str
    seconds: float
    level_dbfs: float
    peak_dbfs: float
    clipped_per_s: float
    offset: float
    """Mean, as a share of full scale."""
    lost_samples: int
    channels: tuple[Channel, ...] = ()
    """Where several are mixed."""


class Heard(NamedTuple):
    """What the broker had to tell of this edge and its K1s."""

    status: contract.Status | None = None
    info: contract.Info | None = None
    telemetry: contract.Telemetry | None = None
    devices: Mapping[str, str] = {}
    """K1 -> `ready` or `lost`."""
    audio: contract.AudioState | None = None
    strangers: Mapping[str, str] = {}
    """What reports as a K1 and breaks the contract -> how."""


class Rights(NamedTuple):
    """What the broker let this edge do, by trying; None = it does not tell."""

    own_level: bool | None = None
    commands: bool | None = None
    another: bool | None = None
    """Writing as another edge, which nobody should be able to."""


def configuration(error: ConfigError | None, name: str) -> Iterator[Finding]:
    """The file, and each fault in it."""
    if error is None:
        yield Finding("config", "ok", f"{name} has no fault")
        return
    for fault in error.faults:
        place = f"{fault.file}:{fault.line}" if fault.line else fault.file
        yield Finding("config", "fault", ": ".join(part for part in (place, fault.key, fault.problem) if part), fault.remedy)


def sound(heard: Sound) -> Finding:
    """The level, and what is wrong with the line."""
    said = f"{heard.device}: {heard.level_dbfs:.0f} dBFS"
    said += f", peaks {heard.peak_dbfs:.0f} dBFS in {heard.seconds:.1f} s" if heard.seconds else ""
    wrong = {
        "CHANNELS_CANCEL": are_opposite(heard.channels, 10 ** (heard.peak_dbfs / 20)),
        "CLIPPING": heard.clipped_per_s >= CLIPPED_PER_S,
        "NO_SIGNAL": heard.peak_dbfs <= -120 and not any(each.peak for each in heard.channels),
        "DC_OFFSET": abs(heard.offset) > DC_SHARE,
        "LEVEL_LOW": heard.level_dbfs < LOW_DBFS,
        "CHANNEL_DEAD": is_dead(heard.channels),
    }
    if code := next((code for code in REMEDIES if wrong.get(code)), ""):
        reason, remedy = REMEDIES[code]
        return Finding("audio", "warning", f"{reason} ({said})", remedy + QUIET.get(code, ""))
    if heard.lost_samples:
        return Finding("audio", "warning", f"{heard.lost_samples} samples were lost ({said})", REMEDIES["SAMPLES_LOST"][1])
    return Finding("audio", "ok", said)


def told_sound(level_dbfs: float, audio: contract.AudioState | None) -> Finding:
    """What the daemon, which listens for longer than anyone else, says of its line."""
    finding = sound(Sound("heard by k1edge", 0.0, level_dbfs, level_dbfs, 0.0, 0.0, 0))
    if audio is None or not audio.code:
        return finding
    said = f"{audio.reason} (heard by k1edge: {level_dbfs:.0f} dBFS)"
    return Finding("audio", "warning", said, audio.remedy + QUIET.get(audio.code, ""))


def no_sound(error: AudioError, service_runs: bool) -> Finding:
    """The card cannot be opened; where k1edge itself may hold it, that need not be a fault."""
    _, named, holder = error.reason.partition("in use by ")
    if service_runs and error.code == BUSY and (not named or holder.startswith(OURS)):
        return Finding("audio", "warning", f"{error.device}: {error.reason}; k1edge itself may be using it",
                       "see what it says: systemctl status k1edge")
    return Finding("audio", "fault", f"{error.device}: {error.reason}", error.remedy)


def clock(synchronised: bool, plausible: bool) -> Finding:
    """The wall clock."""
    if not plausible:
        return Finding("clock", "fault", "the clock shows a time in the past: certificates will be refused",
                       "connect the network and check `timedatectl`; beats do not need the clock, TLS does")
    if not synchronised:
        return Finding("clock", "warning", "the clock has not been set from the network since this boot",
                       "check `timedatectl`; until then, no time in a message can be trusted")
    return Finding("clock", "ok", "the clock is set from the network")


def broker(settings: MqttSettings, connected: bool, reason: str) -> Finding:
    """Whether the broker is there and takes us in."""
    if settings.embedded:
        return Finding("broker", "warning", "no broker is configured: only programs on this machine can hear k1edge",
                       "for a venue, run scripts/broker-setup and set [mqtt] url")
    if not connected:
        remedy = _remedy(reason, "check [mqtt] url, and that the broker runs")
        if remedy is LOGIN and settings.username and settings.password is None:
            remedy = NO_PASSWORD
        return Finding("broker", "fault", f"{settings.url} cannot be used: {reason or 'no answer'}", remedy)
    if settings.insecure:
        return Finding("broker", "warning", f"{settings.url} is reached without encryption, as allow_insecure says",
                       "use mqtts:// and the certificate of scripts/broker-setup")
    return Finding("broker", "ok", f"{settings.url} lets us in{', over TLS' if settings.tls else ''}")


def denied(secret: Path) -> Finding:
    """The broker's password is not for whoever asks here."""
    return Finding("broker", "warning", f"the broker was not asked: only root may read the password in {secret}",
                   "sudo k1edge doctor")


def access(rights: Rights, username: str) -> Iterator[Finding]:
    """What was tried, and whether the broker let it."""
    who = username or "an anonymous client"
    if rights.own_level is None:
        yield Finding("access", "warning", "the broker speaks MQTT 3.1.1, which does not tell what it refuses",
                      "use mosquitto 2, or protocol = \"auto\"")
        return
    wrong = [what for what, may in (("publish below its own level", rights.own_level), ("command the K1s", rights.commands))
             if not may]  # fmt: skip
    if wrong:
        yield Finding("access", "fault", f"{who} may not {' nor '.join(wrong)}",
                      "check `site` and `edge`; else give it the role of this edge: sudo scripts/broker-setup SITE edge/<id>")
    elif rights.another:
        yield Finding("access", "warning", f"{who} may also write as any other edge: the broker has no access list",
                      "make one: sudo scripts/broker-setup SITE edge/<id>")
    else:
        yield Finding("access", "ok", f"{who} may do all that it needs, and cannot write as another")


def service(properties: Mapping[str, str]) -> Finding:
    """What systemd says; empty where it does not run."""
    if not properties or properties.get("LoadState") == "not-found":
        return Finding("service", "warning", "k1edge is not installed as a service here", "run scripts/install")
    state, text = properties.get("ActiveState", ""), properties.get("StatusText", "")
    if state != "active":
        return Finding("service", "fault", f"the service is {state or 'unknown'}", f"systemctl start k1edge; {SERVICE}")
    restarts = int(properties.get("NRestarts", "0") or 0)
    if restarts > RESTARTS:
        return Finding("service", "warning", f"the service was restarted {restarts} times", SERVICE)
    if properties.get("MemoryCurrent") == "[not set]":
        return Finding("service", "warning", "the kernel limits no service's memory", LIMIT_MEMORY)
    return Finding("service", "ok", f"the service runs: {text or 'no status'}")


def daemon(heard: Heard, installed: str) -> Finding:
    """What the edge says of itself at the broker."""
    status = heard.status
    if status is None:
        return Finding("daemon", "warning", "no k1edge of this name has reported to the broker", "systemctl start k1edge")
    why = ", ".join(part for part in (status.code, status.reason) if part)
    if status.state in ("lost", "stopping"):
        return Finding("daemon", "fault", f"k1edge is {status.state}", f"systemctl restart k1edge; {SERVICE}")
    if status.state == "degraded":
        return Finding("daemon", "fault", f"k1edge is degraded: {why}", f"mend what it names; {SERVICE}")
    if heard.info is not None and heard.info.version != installed:
        return Finding("daemon", "warning", f"version {heard.info.version} runs, {installed} is installed",
                       "systemctl restart k1edge")
    if why:
        return Finding("daemon", "warning", f"k1edge is {status.state}: {why}", _remedy(status.reason, "mend what it names"))
    return Finding("daemon", "ok", f"k1edge is {status.state}")


def k1s(heard: Heard, settings: K1Settings, site: str) -> Finding:
    """The K1s that are there, and those that should be."""
    ready = sorted(name for name, state in heard.devices.items() if state == "ready")
    lost = {name for name, state in heard.devices.items() if state != "ready"}
    wanted = set(settings.auto_latency_ms) if settings.devices == "auto" else {d.id for d in settings.devices if d.enabled}
    missing = sorted((wanted | lost) - set(ready))
    look = "check its power, its WiFi, and that its broker and site are these"
    if heard.strangers:
        name, why = min(heard.strangers.items())
        return Finding("k1", "warning" if ready else "fault", f"reports, but is not understood: {name} ({why})",
                       "mend its id or its firmware: `k1edge contract` says what a DeviceStatus is, and where")
    if missing:
        level: Level = "fault" if not ready else "warning"
        return Finding("k1", level, f"not there: {', '.join(missing)}; ready: {', '.join(ready) or 'none'}", look)
    if not ready:
        return Finding("k1", "fault", f"no K1 has reported at site {site}", look)
    return Finding("k1", "ok", f"ready: {', '.join(ready)}")


def latency(telemetry: contract.Telemetry | None, left_ms: float) -> Iterator[Finding]:
    """From the running daemon's own figures; `left_ms`: what a beat has for its way."""
    if telemetry is None:
        yield Finding("latency", "warning", "no telemetry was heard: k1edge does not run, or may not be read",
                      f"systemctl status k1edge; {SERVICE}")
        return
    load, trip = telemetry.hop_load_pct_p99 or 0.0, telemetry.device_round_trip_ms_max
    jitter = telemetry.arrival_jitter_ms_p99 or 0.0
    said = f"a hop takes {load:.0f} % of its time, sound arrives within {jitter:.0f} ms"
    said += f", a K1 answers in {trip:.0f} ms" if trip is not None else ", no K1 has answered a ping yet"
    if load > BUSY_PCT:
        yield Finding("latency", "warning", said, "end other programs, cool the machine, or lower frame_rate_hz")
    elif trip is not None and trip / 2 > left_ms:
        yield Finding("latency", "fault", said, f"a beat has {left_ms:g} ms for its way to a K1, by lead_ms and the latencies: "
                      "better WiFi, or a larger [beat] lead_ms")  # fmt: skip
    else:
        yield Finding("latency", "ok", said)


def disk(free_mb: float, read_only: bool, free_files: int | None, folder: str) -> Finding:
    """Room for state."""
    if read_only:
        return Finding("disk", "fault", f"{folder} is read-only: nothing that is learnt survives",
                       "a card that failed turns read-only: replace it; an overlay needs a writable /var/lib/k1edge")
    if free_files is not None and free_files < box.DISK_FULL_FILES:
        return Finding("disk", "fault", f"{folder} has room for only {free_files} more files: its inodes are used up",
                       box.REMEDIES["DISK_NO_INODES"][1])
    said = f"{folder} has {free_mb:,.0f} MB free"
    if free_mb < DISK_WARNING_MB:
        level: Level = "fault" if free_mb < box.DISK_FULL_MB else "warning"
        return Finding("disk", level, said, box.REMEDIES["DISK_FULL"][1])
    return Finding("disk", "ok", said)


def temperature(celsius: float | None) -> Finding:
    """Of the processor."""
    if celsius is None:
        return Finding("temperature", "ok", "this machine has no sensor")
    said = f"the processor is at {celsius:.0f} degC"
    if celsius >= WARM_C:
        return Finding("temperature", "fault" if celsius >= HOT_C else "warning", said, box.COOL)
    return Finding("temperature", "ok", said)


def versions(found: Mapping[str, str], is_64_bit: bool) -> Finding:
    """What is installed."""
    said = ", ".join(f"{name} {version}" for name, version in found.items())
    missing = [name for name, version in found.items() if version == "missing"]
    if not is_64_bit:
        return Finding("versions", "fault", said, "install the 64-bit system: no other is supported")
    if missing:
        return Finding("versions", "fault", said, f"run scripts/install again: {', '.join(missing)} is missing")
    return Finding("versions", "ok", said)


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the worst of them."""
    levels = {finding.level for finding in findings}
    return next((level for level in ("fault", "warning") if level in levels), "ok")


def _remedy(reason: str, otherwise: str) -> str:
    return next((remedy for part, remedy in REFUSALS if part in reason.lower()), otherwise)
