"""Which capture device a name means: by ALSA card id, USB port, PCM name or part of a name, and never by index.

Consumes PortAudio's names and the kernel's list of cards, emits `Device`s. Indices change when a card is replugged, ids do
not; PortAudio's names carry the index, "USB Audio CODEC: - (hw:1,0)", so the id is looked up in /proc/asound/cards. PortAudio
knows only what it could open when it looked; what else can capture is in /proc/asound/pcm, and who has it open beside that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from k1edge.audio import ABSENT, BUSY, CHOICE, AudioError

CARDS = Path("/proc/asound/cards")
_HARDWARE = re.compile(r"\s*\(hw:(\d+),(\d+)\)$")
_CARD = re.compile(r"^\s*(\d+) \[(\S+)\s*\]: .*? - (.*)$(?:\n\s+.* at (usb-[^,\s]+),)?", re.MULTILINE)
_CAPTURES = re.compile(r"^(\d+)-(\d+): .*? : (.*?) : (?:playback \d+ : )?capture \d+$", re.MULTILINE)
_OWNER = re.compile(r"^owner_pid\s*: (\d+)$", re.MULTILINE)
_PROCESS = re.compile(r"^Name:\t(.*)\n(?:.*\n)*?Tgid:\t(\d+)$", re.MULTILINE)
_ADDRESS = re.compile(r"(?:plug)?hw:(?:CARD=)?([^,]+)(?:,(?:DEV=)?(\d+))?$")

SERVERS = ("pipewire", "pulse", "jack")
"""What a sound server is called by ALSA, and how its program's name begins."""
HOLDERS = (
    (SERVERS, "keep the desktop's sound server off it, by a rule for udev: README, Troubleshooting"),
    ("process", "`sudo k1edge devices` names that program"),
    ("", "end that program (`systemctl stop k1edge`, if that is it)"),
)
OWN_SERVER = "start the sound server; one that belongs to a user is not there for a service: name a card in [audio] device"


class Card(NamedTuple):
    """A sound card as the kernel has it."""

    id: str
    name: str
    port: str = ""
    """USB's, as `usb-0000:01:00.0-1.2`; '' of any other card, and where a long name has left no room for it."""
    is_twin: bool = False
    """Another has the same name: which of them is `Device` and which `Device_1` is then a matter of who comes first."""


@dataclass(frozen=True, slots=True)
class Device:
    """One capture device as PortAudio sees it now."""

    index: int
    """Of this moment only."""
    name: str
    channels: int
    card_id: str = ""
    """'' for a PCM that is not a card of its own, such as `default` or one from asound.conf."""
    port: str = ""
    is_twin: bool = False
    """As of the `Card`."""
    number: int = 0
    """ALSA's DEV: most cards have only 0."""
    rates_hz: tuple[int, ...] = ()
    closed: bool = False
    """In use, or not for this user: the kernel has it, and PortAudio cannot open it."""
    holder: str = ""
    """The program that has it open, or its number where that is all that may be known."""
    stuck: bool = False
    """It was asked, and has not answered: a sound server without its session manager."""

    @property
    def setting(self) -> str:
        """How to name it in the TOML."""
        if not self.card_id:
            return self.name
        card = self.port if self.is_twin and self.port else self.card_id
        return f"hw:CARD={card},DEV={self.number}" if self.number else card

    @property
    def address(self) -> str:
        """What ALSA opens it by."""
        return f"hw:{self.card_id},{self.number}" if self.card_id else self.name


def cards_by_index(cards: Path) -> dict[int, Card]:
    """The sound cards there are; none on a kernel without sound."""
    found = {int(index): Card(*words) for index, *words in _CARD.findall(_read(cards))}
    alike = Counter(card.name for card in found.values())
    return {index: card._replace(is_twin=alike[card.name] > 1) for index, card in found.items()}


def with_closed(devices: list[Device], cards: Path) -> list[Device]:
    """Those, and what else the kernel could capture from: a card that is in use is not absent."""
    listed = {(device.card_id, device.number) for device in devices}
    known = cards_by_index(cards)
    captures = [(int(index), int(number), part) for index, number, part in _CAPTURES.findall(_read(cards.with_name("pcm")))]
    closed = [(known[index], index, number, part) for index, number, part in captures if index in known]
    return devices + [
        Device(-1, f"{card.name}: {part}", 0, card.id, card.port, card.is_twin, number, closed=True,
               holder=_holder(cards, index, number))
        for card, index, number, part in closed if (card.id, number) not in listed
    ]  # fmt: skip


def _holder(cards: Path, index: int, number: int) -> str:
    """Who captures from it, as `pipewire (process 812)`; '' if nobody does. A service knows no name of others' processes."""
    places = cards.parent.glob(f"card{index}/pcm{number}c/sub*/status")
    owner = next((found[1] for found in map(_OWNER.search, map(_read, places)) if found), "")
    if not owner:
        return ""
    # The kernel tells the thread that opened it, which may have ended, as ours has: then who has its file open.
    everyone = cards.parent.parent
    process = _PROCESS.search(_read(everyone / owner / "status")) or _PROCESS.search(
        _read(everyone / _opener(everyone, f"/dev/snd/pcmC{index}D{number}c") / "status"))
    return f"{process[1]} (process {process[2]})" if process else f"process {owner}"


def _opener(everyone: Path, file: str) -> str:
    """The process that has a file open, as far as we may look; '' if none is seen."""
    for descriptor in everyone.glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(descriptor.readlink()) == file:
                return descriptor.parts[-3]
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def described(index: int, name: str, channels: int, cards: Mapping[int, Card]) -> Device:
    """A device from PortAudio's index and name."""
    hardware = _HARDWARE.search(name)
    if not hardware:
        return Device(index, name, channels)
    card, number = cards.get(int(hardware[1]), Card("", "")), int(hardware[2])
    return Device(index, name[: hardware.start()].strip(" :-"), channels, card.id, card.port, card.is_twin, number)


def choose(devices: list[Device], wanted: str) -> Device:
    """The one device that is meant; '' means the only sound card. Raises AudioError when there is none, or more than one."""
    matches = _matching(devices, wanted) if wanted else [device for device in devices if device.card_id]
    if len(matches) == 1:
        return _opened(matches[0])
    label = wanted or "line input"
    if matches:
        raise AudioError(label, f"could be any of {_listed(matches)}", "set [audio] device to one of these", CHOICE)
    if wanted.isdigit():
        raise AudioError(label, "is an index, and indices change", "set [audio] device to a card id: `k1edge devices`", CHOICE)
    here = _listed(devices)
    if wanted in (*SERVERS, "default"):
        raise AudioError(label, f"is not here; there is {here or 'no capture device'}", OWN_SERVER, ABSENT)
    if not devices:
        remedy = "connect a sound card with a line input (a Pi has none of its own)"
        raise AudioError(label, "there is no capture device", remedy, ABSENT)
    if wanted:
        raise AudioError(label, f"is not here; there is {here}", "connect it, or name another in [audio] device", ABSENT)
    raise AudioError(label, f"there is no sound card; there is {here}", "connect one, or name one in [audio] device", ABSENT)


def _opened(device: Device) -> Device:
    if not device.closed:
        return device
    if not device.holder:
        reason, remedy = "is in use, or not for this user to open", "end what uses it; a user must be in the group `audio`"
    else:
        reason = f"is in use by {device.holder}"
        remedy = next(what for beginning, what in HOLDERS if device.holder.startswith(beginning))
    raise AudioError(device.setting, reason, remedy, BUSY)


def _matching(devices: list[Device], wanted: str) -> list[Device]:
    """The most exact kind of match that finds any: full address, id or port, name, part of a name."""
    address = _ADDRESS.match(wanted)
    card, number = (address[1], int(address[2] or 0)) if address else (wanted, 0)
    exact = [d for d in devices if card in (d.card_id, d.port) and d.number == number]
    if exact or (address and address[2]):
        return exact
    kinds = (
        [d for d in devices if card in (d.card_id, d.port)],
        [d for d in devices if d.name == wanted],
        [d for d in devices if not wanted.isdigit() and wanted.lower() in f"{d.name} {d.card_id}".lower()],
    )
    return next((matches for matches in kinds if matches), [])


def _listed(devices: list[Device]) -> str:
    return ", ".join(f"{device.setting!r}{' (in use)' * device.closed}" for device in devices)
