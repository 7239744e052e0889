"""The mixing desk: one-shots placed on four buses, ducked under the kick, swept, given a room, and limited.

Consumes placed sounds, emits one stereo array that never exceeds -1 dBFS. Works through the song in segments of about
10 s, so that memory stays near the size of the result; all before the limiter is linear, so segments simply add up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from k1edge.audio.instruments import shaped_noise

SEGMENT = 420 * 1024
"""Samples rendered at once: with the room's tail just under 2**19, a length that transforms are quick at."""
WINDOW = 2048
"""Samples of the sweep's short-time window."""
HOP = WINDOW // 2
"""SEGMENT is a multiple of it, so that windows of neighbouring segments lie on one grid."""
CEILING = 10 ** (-1 / 20)
KNEE = 0.55
"""Below it the limiter does nothing; above, it bends ever more towards the ceiling."""
ROOM_S = 1.7
ROOM_SEED = 11
SENDS = {"drums": 0.035, "bass": 0.0, "music": 0.22, "effects": 0.2}
"""How much of each bus is heard in the room."""
DUCKED = ("bass", "music")
DUCK_DEPTH = 0.72
DUCK_S = 0.13
"""Time constant of the recovery: about an eighth note at house tempo, which is the pumping of the genre."""
SWEEP_OPEN_HZ = 16_000.0


class _Hit(NamedTuple):
    start: int
    samples: np.ndarray
    left: float
    right: float


class Mix:
    """Collects sounds, then renders them all at once."""

    def __init__(self, seconds: float, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._size = round(seconds * rate_hz)
        self._segments: dict[tuple[str, int], list[_Hit]] = {}
        self._kicks: list[int] = []
        self._cutoffs: list[tuple[float, float]] = []
        self._room = _Room(rate_hz)

    def place(self, bus: str, start_s: float, samples: np.ndarray, gain: float, *, pan: float = 0.0) -> None:
        """Adds (n,) or (2, n) samples at a time; `pan` -1..1 left to right, level kept constant in power."""
        angle = (pan + 1) * np.pi / 4
        hit = _Hit(round(start_s * self.rate_hz), samples, gain * np.cos(angle) * 2**0.5, gain * np.sin(angle) * 2**0.5)
        last = hit.start + samples.shape[-1] - 1
        for segment in range(hit.start // SEGMENT, last // SEGMENT + 1):
            self._segments.setdefault((bus, segment), []).append(hit)

    def duck(self, kick_s: float) -> None:
        """The bass and music buses give way to a kick at this time."""
        self._kicks.append(round(kick_s * self.rate_hz))

    def sweep(self, at_s: float, cutoff_hz: float) -> None:
        """A corner of the music bus's low-pass; between corners it moves evenly in octaves."""
        self._cutoffs.append((at_s, cutoff_hz))

    def render(self) -> np.ndarray:
        """(n, 2) float32, peak at most -1 dBFS."""
        count = -(-self._size // SEGMENT)
        tail = len(self._room.impulse)
        out = np.zeros((2, HOP + count * SEGMENT + HOP + tail), np.float32)
        for segment in range(count):
            start = segment * SEGMENT
            dry, send = self._segment(segment)
            out[:, start : start + dry.shape[1]] += dry
            out[:, start : start + dry.shape[1] + tail] += self._room.echo(send)
        return _limited(out[:, HOP : HOP + self._size]).T

    def _segment(self, segment: int) -> tuple[np.ndarray, np.ndarray]:
        """One segment, dry and as sent to the room, each with the HOP samples at either end that a sweep smears over."""
        dry = np.zeros((2, HOP + SEGMENT + HOP), np.float32)
        send = np.zeros_like(dry)
        ducking = self._ducking(segment * SEGMENT)
        for bus, amount in SENDS.items():
            hits = self._segments.get((bus, segment))
            if not hits:
                continue
            sound = self._gathered(hits, segment * SEGMENT)
            if bus in DUCKED:
                sound *= ducking
            sound = np.pad(sound, ((0, 0), (HOP, HOP)))
            if bus == "music":
                sound = self._swept(sound, segment * SEGMENT)
            dry += sound
            send += sound * np.float32(amount)
        return dry, send

    @staticmethod
    def _gathered(hits: list[_Hit], start: int) -> np.ndarray:
        sound = np.zeros((2, SEGMENT), np.float32)
        for hit in hits:
            at = hit.start - start
            part = hit.samples[..., max(0, -at) : SEGMENT - at]
            where = slice(max(0, at), max(0, at) + part.shape[-1])
            left, right = part if part.ndim == 2 else (part, part)
            sound[0, where] += left * np.float32(hit.left)
            sound[1, where] += right * np.float32(hit.right)
        return sound

    def _ducking(self, start: int) -> np.ndarray:
        """(SEGMENT,) gain that falls at each kick and recovers."""
        gain = np.ones(SEGMENT, np.float32)
        length = round(DUCK_S * 6 * self.rate_hz)
        t = np.arange(length, dtype=np.float32) / np.float32(self.rate_hz)
        # A 2 ms way down, so that the duck itself makes no click.
        dip = 1 - DUCK_DEPTH * np.exp(-t / DUCK_S) * np.minimum(t / 0.002, 1)
        for kick in self._kicks:
            at = kick - start
            part = dip[max(0, -at) : max(0, SEGMENT - at)]
            where = slice(max(0, at), max(0, at) + len(part))
            np.minimum(gain[where], part, out=gain[where])
        return gain

    def _swept(self, sound: np.ndarray, start: int) -> np.ndarray:
        """The padded segment behind the moving low-pass, by overlap-add of short spectra."""
        frames = SEGMENT // HOP + 1
        cutoff_hz = self._cutoff_hz((start + np.arange(frames) * HOP) / self.rate_hz)
        if cutoff_hz.min() >= SWEEP_OPEN_HZ:
            return sound
        freqs_hz = np.fft.rfftfreq(WINDOW, 1 / self.rate_hz)
        gains = (1 / np.sqrt(1 + (freqs_hz / cutoff_hz[:, None]) ** 6)).astype(np.float32)
        window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
        out = np.zeros_like(sound)
        for dry, wet in zip(sound, out, strict=True):
            pieces = np.lib.stride_tricks.sliding_window_view(dry, WINDOW)[::HOP] * window
            filtered = np.fft.irfft(np.fft.rfft(pieces, axis=1) * gains, WINDOW, axis=1)
            wet[:-HOP] += filtered[:, :HOP].ravel()
            wet[HOP:] += filtered[:, HOP:].ravel()
        return out

    def _cutoff_hz(self, at_s: np.ndarray) -> np.ndarray:
        if not self._cutoffs:
            return np.full(len(at_s), SWEEP_OPEN_HZ)
        corners_s, corners_hz = np.array(self._cutoffs).T
        return np.exp(np.interp(at_s, corners_s, np.log(corners_hz)))


class _Room:
    """A stereo room: decaying noise, different left and right, that gets darker as it decays."""

    def __init__(self, rate_hz: int) -> None:
        t = np.arange(round(ROOM_S * rate_hz), dtype=np.float32) / np.float32(rate_hz)
        onset = np.minimum(t / 0.012, 1)
        sides = []
        for side in range(2):
            bright = shaped_noise(ROOM_S, rate_hz, lambda f: (f > 250) / (1 + (f / 6_000) ** 2), ROOM_SEED + side)
            dark = shaped_noise(ROOM_S, rate_hz, lambda f: (f > 250) / (1 + (f / 1_800) ** 2), ROOM_SEED + side)
            sides.append(onset * (bright * np.exp(-t / 0.12) + dark * np.exp(-t / 0.38)))
        impulse = np.stack(sides)
        self.impulse = (impulse / np.sqrt((impulse**2).sum(axis=1, keepdims=True))).astype(np.float32).T
        self._size = 2 ** int(np.ceil(np.log2(HOP + SEGMENT + HOP + len(t))))
        self._spectrum = np.fft.rfft(self.impulse.T, self._size, axis=1)

    def echo(self, send: np.ndarray) -> np.ndarray:
        """(2, n + len(impulse)) for a (2, n) send."""
        wet = np.fft.irfft(np.fft.rfft(send, self._size, axis=1) * self._spectrum, self._size, axis=1)
        return wet[:, : send.shape[1] + len(self.impulse)]


def _limited(samples: np.ndarray) -> np.ndarray:
    """In place: as it is up to KNEE, then ever softer, never reaching CEILING."""
    size = np.abs(samples)
    above = size > KNEE
    over = (size[above] - KNEE) / (CEILING - KNEE)
    samples[above] = np.sign(samples[above]) * (KNEE + (CEILING - KNEE) * np.tanh(over))
    return samples
