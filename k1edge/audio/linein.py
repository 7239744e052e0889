"""The line input: a sound card, found by its name, as a source of hops; alone imports sounddevice (for `lineout`, too).

Emits `AudioBlock`s (mono float32 at 44.1 or 48 kHz) and `None` when no hop came within 50 ms. PortAudio's thread runs one
short callback that copies the hop into a queue; a blocking read is never made, since it hangs and then crashes when a card
is pulled. A pulled card says nothing either: its stream stays "active" and just stops calling. So the watchdog here counts
time without hops, and every failure is an `AudioError`. Cost: about 14 us a hop.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from k1edge.audio import ABSENT, BUSY, CHANNEL, LOST, RATE, RATES_HZ, STALLED, AudioError, StuckError
from k1edge.audio.cards import CARDS, Device, cards_by_index, choose, described, with_closed
from k1edge.audio.channels import Channels
from k1edge.audio.holes import HoleFinder
from k1edge.errand import Errand
from k1edge.frames import AudioBlock, Channel, StreamFormat

if TYPE_CHECKING:
    from k1edge.config import AudioSettings

BREATH_S = 0.05
"""The longest the loop waits for one hop before it gets `None`."""
STALL_S = 0.2
"""Waiting without a hop after which the card counts as lost: callbacks were never seen more than 57 ms apart."""
BACKLOG = 50
"""Hops that may wait for a process that was held up: it catches up with half a second, beats of before that are past."""
FIRST_BLOCK_S = 5.0
"""Patience for the first hop: an idle PulseAudio source takes 1.9 s."""
BUFFER_S = 0.029
"""Asked of PortAudio, which then makes periods of one hop and a ring of four: the deepest it allows (any more, and periods
grow to two hops or three, and hops arrive in bursts). The process may be away for 30 ms before samples are lost."""
OPEN_LIMIT_S, CLOSE_LIMIT_S = 5.0, 1.0
"""For the library to start or to open a device, and to let go of one. A sound server whose session manager has ended lets
PortAudio wait for half a minute, three times over; one that is started by being asked takes 1.5 s."""
AFRESH = "restart this process; if that does not help, replug the card, or restart the sound server behind it"
PLUG = "write `pcm.line {{ type plug slave.pcm \"{}\" }}`, which converts it, into /etc/asound.conf, and set device = \"line\""
REMEDIES = {-9985: ("end the program that uses it", BUSY), -9994: (PLUG, RATE), -9997: (PLUG, RATE)}
"""PortAudio's paDeviceUnavailable, paSampleFormatNotSupported (of 24 bits in four bytes) and paInvalidSampleRate."""


class LineIn:
    """One open capture stream; opening it anew is how a lost card is found again."""

    def __init__(
        self, settings: AudioSettings, cards: Path = CARDS, *, entered: Callable[[], object] = lambda: None
    ) -> None:
        """Opens the device named in the settings. Raises AudioError when it is absent, ambiguous, busy or too limited.

        `entered` is called once by the thread that empties the card's ring.
        """
        self.fmt = StreamFormat(settings.rate_hz)
        self.overflows = self.lost_samples = self.skipped_samples = 0
        self._portaudio = _portaudio_afresh()
        self.device = choose(_capture_devices(self._portaudio, cards), settings.device)
        weights = _mixing(self.device, settings.channel)
        self._channels = Channels(weights)
        self._hops: SimpleQueue[tuple[bytes, int, bool] | None] = SimpleQueue()
        self._holes = HoleFinder()
        self._next = 0
        with quiet():
            self._stream = within(OPEN_LIMIT_S, lambda: self._opened(len(weights), entered), self.device.name)
        self._patience_s = FIRST_BLOCK_S
        self._waited_s = 0.0

    def __iter__(self) -> Iterator[AudioBlock | None]:
        while True:
            yield self._hop_or_none()

    def channels(self) -> tuple[Channel, ...]:
        """Each channel that is mixed, since the last call; () where there is only one."""
        return self._channels.since()

    def close(self) -> None:
        """Lets go of the card. Raises StuckError when it does not within CLOSE_LIMIT_S."""
        within(CLOSE_LIMIT_S, self._shut, self.device.name)

    def _shut(self) -> None:
        # What a dying card says while it is closed is of no use to anyone.
        with contextlib.suppress(self._portaudio.PortAudioError):
            self._stream.abort()
        with contextlib.suppress(self._portaudio.PortAudioError):
            self._stream.close()

    def _opened(self, channels: int, entered: Callable[[], object]) -> Any:
        portaudio, put, clock = self._portaudio, self._hops.put, time.monotonic_ns
        first = [entered]

        def copy(hop: Any, _frames: int, _time: Any, status: Any) -> None:
            put((bytes(hop), clock(), status.input_overflow))
            if first:
                first.pop()()

        try:
            stream = portaudio.RawInputStream(
                device=self.device.index, channels=channels, samplerate=self.fmt.rate_hz, blocksize=self.fmt.hop,
                dtype="float32", latency=BUFFER_S, callback=copy, finished_callback=lambda: put(None),
                clip_off=True, dither_off=True,
            )  # fmt: skip
            stream.start()
        except portaudio.PortAudioError as error:
            raise self._refusal(error) from error
        return stream

    def _refusal(self, error: Exception) -> AudioError:
        rates_hz = _rates_hz(self._portaudio, self.device)
        if rates_hz and self.fmt.rate_hz not in rates_hz:
            offered = " or ".join(map(str, rates_hz))
            return AudioError(self.device.name, f"does not run at {self.fmt.rate_hz} Hz", f"set rate_hz = {offered}", RATE)
        code = error.args[1] if len(error.args) > 1 else None
        remedy, kind = REMEDIES.get(code, ("replug it, or name another in [audio] device", ABSENT))
        reason = f"cannot be opened ({error.args[0]})"
        return AudioError(self.device.name, reason, remedy.format(self.device.address), kind)

    def _hop_or_none(self) -> AudioBlock | None:
        if (waiting := self._hops.qsize()) > BACKLOG:
            # A machine that cannot keep up must not fall behind ever further, nor keep what it will never hear.
            skipped = [self._hops.get() for _ in range(waiting - 1)]
            if None in skipped:
                raise self._lost("was disconnected, or its sound server ended")
            self._holes.skip(len(skipped))
            self._next += len(skipped) * self.fmt.hop
            self.skipped_samples += len(skipped) * self.fmt.hop
        try:
            hop = self._hops.get(timeout=BREATH_S)
        except Empty:
            # Only time truly spent waiting counts: a process that was itself held up must not blame the card.
            self._waited_s += BREATH_S
            if self._waited_s < self._patience_s - 1e-9:
                return None
            raise self._lost(f"has delivered nothing for {self._waited_s:.1f} s", STALLED) from None
        if hop is None:
            raise self._lost("was disconnected, or its sound server ended")
        self._waited_s, self._patience_s = 0.0, STALL_S
        return self._block(*hop)

    def _lost(self, reason: str, code: str = LOST) -> AudioError:
        what = "the cable and the card" if self.device.card_id else "the sound server, or what else stands behind that name"
        return AudioError(self.device.name, reason, f"check {what}; it is reopened when it is back", code)

    def _block(self, data: bytes, arrived_ns: int, overflowed: bool) -> AudioBlock:
        missing = self._holes.observe(arrived_ns, overflowed) * self.fmt.hop
        start = self._next + missing
        self._next = start + self.fmt.hop
        self.overflows += overflowed
        self.lost_samples += missing
        return AudioBlock(self._channels.mixed(data), start, arrived_ns)


def list_devices(cards: Path = CARDS) -> list[Device]:
    """Every capture device, with those of our rates that it offers (none that is `closed` or `stuck`). Raises AudioError."""
    portaudio = _portaudio_afresh()
    with quiet():
        return [device if device.closed else _asked(portaudio, device) for device in _capture_devices(portaudio, cards)]


def _asked(portaudio: ModuleType, device: Device) -> Device:
    try:
        return replace(device, rates_hz=within(OPEN_LIMIT_S, lambda: _rates_hz(portaudio, device), device.name))
    except StuckError:
        return replace(device, stuck=True)


def _capture_devices(portaudio: ModuleType, cards: Path) -> list[Device]:
    try:
        found = [(index, d) for index, d in enumerate(portaudio.query_devices()) if d["max_input_channels"] > 0]
    except UnicodeDecodeError as error:
        told = f"has a name that is no UTF-8 ({error.object.decode('latin-1')})"
        raise AudioError("a device", told, "save /etc/asound.conf or ~/.asoundrc as UTF-8, or rename it", ABSENT) from error
    known = cards_by_index(cards)
    return with_closed([described(index, d["name"], d["max_input_channels"], known) for index, d in found], cards)


def _mixing(device: Device, channel: str | int) -> np.ndarray:
    """(channels,) weights that make those to open mono: the first two as they are, or one alone."""
    if channel == "mix":
        count = min(2, device.channels)
        return np.full(count, 1 / count, np.float32)
    number = int(channel)
    if number > device.channels:
        remedy = f"set channel to 1..{device.channels} or 'mix'"
        raise AudioError(device.name, f"has no channel {number}", remedy, CHANNEL)
    weights = np.zeros(number, np.float32)
    weights[-1] = 1.0
    return weights


def _rates_hz(portaudio: ModuleType, device: Device) -> tuple[int, ...]:
    def offers(rate_hz: int) -> bool:
        try:
            portaudio.check_input_settings(device.index, min(2, device.channels), "float32", samplerate=rate_hz)
        except portaudio.PortAudioError:
            return False
        return True

    return tuple(rate_hz for rate_hz in RATES_HZ if offers(rate_hz))


def sound_library() -> ModuleType:
    """sounddevice, whose import initialises PortAudio. Raises AudioError."""
    try:
        with quiet():
            import sounddevice
    except OSError as error:
        raise AudioError("PortAudio", "the library is missing", "apt install libportaudio2", ABSENT) from error
    except Exception as error:  # its PortAudioError, which has no name before it is imported
        raise _refused(error) from error
    return sounddevice


def _portaudio_afresh() -> ModuleType:
    """PortAudio with its list of devices as of now: it looks only when it is initialised, and a card that was pulled and
    came back cannot be opened before. Ends every other stream of this process. Raises AudioError."""
    with quiet():
        return within(OPEN_LIMIT_S, _initialised, "PortAudio")


def _initialised() -> ModuleType:
    portaudio = sound_library()
    with contextlib.suppress(portaudio.PortAudioError):  # it is not initialised: the last attempt has failed
        portaudio._terminate()
    try:
        portaudio._initialize()
    except portaudio.PortAudioError as error:
        raise _refused(error) from error
    return portaudio


def _refused(error: Exception) -> AudioError:
    reason = error.args[0] if error.args else repr(error)
    return AudioError("PortAudio", f"does not start ({reason})", "check the sound configuration", ABSENT)


def within(limit_s: float, action: Callable[[], Any], device: str) -> Any:
    """Runs what may never return in a thread of its own; returns and raises what it does, or StuckError after the limit."""
    returned: list[Any] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            returned.append(action())
        except Exception as error:
            failures.append(error)

    refusal = ""
    try:
        over = Errand(run).wait(limit_s)
    except OSError as error:
        refusal = str(error)
    if refusal:  # out of the handler: it is not what a `StuckError` was raised after
        raise StuckError(device, f"cannot be asked ({refusal})", AFRESH)
    if not over:
        raise StuckError(device, f"does not respond within {limit_s:g} s", AFRESH)
    if failures:
        raise failures[0]
    return returned[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Sends the C libraries' stderr to nowhere: ALSA and PortAudio print pages while they probe."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
