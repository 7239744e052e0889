"""The line output: sound to be heard, or to be heard again for a measurement.

Consumes samples, emits them through PortAudio; the library itself is `linein`'s. Nothing here is in the path of light.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from k1edge.audio import AudioError
from k1edge.audio.linein import CLOSE_LIMIT_S, quiet, sound_library, within

OUTPUT_S, PRIMED = 0.3, 20
"""Of sound in hand while latency is measured, for a gap would spoil it; buffers after which an output knows its latency."""


class Playback:
    """Sound on its way to the loudspeaker."""

    def __init__(self, samples: np.ndarray, rate_hz: int, loop: bool = False) -> None:
        """Starts (n,) or (n, channels) float32 on the default output and returns at once. Raises AudioError."""
        self._portaudio = portaudio = sound_library()
        try:
            with quiet():
                portaudio.query_devices(kind="output")
                portaudio.play(samples, rate_hz, loop=loop)
        except (portaudio.PortAudioError, ValueError) as error:
            raise AudioError("output", f"cannot play ({error.args[0]})", "connect a loudspeaker or leave out --play") from error

    def close(self) -> None:
        """Stops at once."""
        within(CLOSE_LIMIT_S, self._portaudio.stop, "output")


class Emission:
    """Sound on its way to an output, and when its first sample was in the air; for measuring, so nothing is looped."""

    def __init__(self, samples: np.ndarray, rate_hz: int, output: str) -> None:
        """Starts (n,) float32 on the named output, or the default one. Raises AudioError."""
        portaudio = sound_library()
        self.underflows = 0
        self._samples, self._rate_hz, self._at = samples, rate_hz, 0
        self._began_ns: list[int] = []
        try:
            with quiet():
                self._stream = portaudio.OutputStream(
                    samplerate=rate_hz, device=output or None, channels=1, dtype="float32", latency=OUTPUT_S,
                    callback=self._feed,
                )  # fmt: skip
                self._stream.start()
        except (portaudio.PortAudioError, ValueError) as error:
            what = f"cannot play ({error.args[0]})"
            raise AudioError(output or "output", what, "connect it, or name another with --output") from error

    def _feed(self, out: np.ndarray, frames: int, times: Any, status: Any) -> None:
        ahead_ns = round((times.outputBufferDacTime - times.currentTime) * 1e9)
        self._began_ns.append(time.monotonic_ns() + ahead_ns - self._at * 1_000_000_000 // self._rate_hz)
        self.underflows += status.output_underflow
        piece = self._samples[self._at : self._at + frames]
        self._at += frames
        out[: len(piece), 0], out[len(piece) :] = piece, 0.0

    @property
    def began_ns(self) -> int | None:
        """When the first sample was in the air, on the monotonic clock, as far as PortAudio knows; None until that is known.
        The first buffers are filled before anything plays and know nothing of what will be in front of them."""
        told = self._began_ns[len(self._began_ns) // 2 :]
        return round(float(np.median(told))) if len(self._began_ns) >= PRIMED else None

    def close(self) -> None:
        """Stops at once."""
        within(CLOSE_LIMIT_S, self._stream.close, "output")
