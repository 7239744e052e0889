"""Which capture device a name means: by ALSA card id, PCM name or part of a name, and never by index.

Consumes PortAudio's names and the kernel's list of cards, emits `Device`s. Indices change when a card is replugged, ids do
not; PortAudio's names carry the index, "USB Audio CODEC: - (hw:1,0)", so the id is looked up in /proc/asound/cards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from k1edge.audio import ABSENT, CHOICE, AudioError

CARDS = Path("/proc/asound/cards")
_HARDWARE = re.compile(r"\s*\(hw:(\d+),(\d+)\)$")
_CARD = re.compile(r"^\s*(\d+) \[(\S+)\s*\]:", re.MULTILINE)
_ADDRESS = re.compile(r"(?:plug)?hw:(?:CARD=)?([^,]+)(?:,(?:DEV=)?(\d+))?$")


@dataclass(frozen=True, slots=True)
class Device:
    """One capture device as PortAudio sees it now."""

    index: int
    """Of this moment only."""
    name: str
    channels: int
    card_id: str = ""
    """'' for a PCM that is not a card of its own, such as `default` or one from asound.conf."""
    number: int = 0
    """ALSA's DEV: most cards have only 0."""
    rates_hz: tuple[int, ...] = ()

    @property
    def setting(self) -> str:
        """How to name it in the TOML."""
        if not self.card_id:
            return self.name
        return f"hw:CARD={self.card_id},DEV={self.number}" if self.number else self.card_id

    def offering(self, rates_hz: tuple[int, ...]) -> Device:
        return replace(self, rates_hz=rates_hz)


def card_ids(cards: Path = CARDS) -> dict[int, str]:
    """Index -> id of the sound cards there are; empty on a kernel without sound."""
    try:
        return {int(index): card_id for index, card_id in _CARD.findall(cards.read_text())}
    except OSError:
        return {}


def described(index: int, name: str, channels: int, ids: dict[int, str]) -> Device:
    """A device from PortAudio's index and name."""
    hardware = _HARDWARE.search(name)
    if not hardware:
        return Device(index, name, channels)
    card, number = int(hardware[1]), int(hardware[2])
    return Device(index, name[: hardware.start()].strip(" :-"), channels, ids.get(card, ""), number)


def choose(devices: list[Device], wanted: str) -> Device:
    """The one device that is meant; '' means the only sound card. Raises AudioError when there is none, or more than one."""
    matches = _matching(devices, wanted) if wanted else [device for device in devices if device.card_id]
    if len(matches) == 1:
        return matches[0]
    label = wanted or "line input"
    if matches:
        raise AudioError(label, f"could be any of {_listed(matches)}", "set [audio] device to one of these", CHOICE)
    if wanted.isdigit():
        raise AudioError(label, "is an index, and indices change", "set [audio] device to a card id: `k1edge devices`", CHOICE)
    if not devices:
        remedy = "connect a sound card with a line input (a Pi has none of its own)"
        raise AudioError(label, "there is no capture device", remedy, ABSENT)
    here = _listed(devices)
    if wanted:
        raise AudioError(label, f"is not here; there is {here}", "connect it, or name another in [audio] device", ABSENT)
    raise AudioError(label, f"there is no sound card; there is {here}", "connect one, or name one in [audio] device", ABSENT)


def _matching(devices: list[Device], wanted: str) -> list[Device]:
    """The most exact kind of match that finds any: full address, id, name, part of a name."""
    address = _ADDRESS.match(wanted)
    card_id, number = (address[1], int(address[2] or 0)) if address else (wanted, 0)
    exact = [d for d in devices if d.card_id == card_id and d.number == number]
    if exact or (address and address[2]):
        return exact
    kinds = (
        [d for d in devices if d.card_id == card_id],
        [d for d in devices if d.name == wanted],
        [d for d in devices if not wanted.isdigit() and wanted.lower() in f"{d.name} {d.card_id}".lower()],
    )
    return next((matches for matches in kinds if matches), [])


def _listed(devices: list[Device]) -> str:
    return ", ".join(repr(device.setting) for device in devices)
