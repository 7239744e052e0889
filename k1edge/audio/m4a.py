"""AAC in an MP4 container: what libsndfile cannot read, through PyAV where it is installed (the extra `m4a`).

Consumes a path; offers of `soundfile.SoundFile` what a source needs: `samplerate`, `frames`, `seek(0)`, `read`, `close`. Raises
`M4aError` for whatever cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

KIND = b"ftyp"
"""At byte 4 of every such file."""


class M4aError(RuntimeError):
    """The file cannot be decoded, or the decoder is not installed."""


def is_m4a(path: Path) -> bool:
    """By its content, whatever its name says."""
    with path.open("rb") as file:
        return file.read(8)[4:] == KIND


class M4aFile:
    """One file, decoded from the beginning."""

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError:
            raise M4aError("m4a needs PyAV: pip install 'k1edge[m4a]'") from None
        self._av, self._path = av, path
        self._begin()
        stream = self._container.streams.audio[0]
        self.samplerate = stream.rate
        duration_s = float(stream.duration * stream.time_base) if stream.duration else (self._container.duration or 0) / 1e6
        self.frames = round(duration_s * self.samplerate)

    def seek(self, _frames: int) -> None:
        """To the beginning: nothing else is asked for."""
        self.close()
        self._begin()

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """(n, channels) the next `frames`, fewer at the end."""
        while len(self._ready) < frames:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._ready = np.concatenate([self._ready, piece]) if len(self._ready) else piece
        taken, self._ready = self._ready[:frames], self._ready[frames:]
        return taken

    def close(self) -> None:
        """Lets the file go."""
        self._container.close()

    def _begin(self) -> None:
        try:
            self._container = self._av.open(str(self._path))
        except (self._av.FFmpegError, ValueError) as error:
            raise M4aError(getattr(error, "strerror", None) or str(error)) from error
        if not self._container.streams.audio:
            raise M4aError("holds no audio")
        self._pieces, self._ready = self._decoded(), np.zeros((0, 1), np.float32)

    def _decoded(self) -> Iterator[np.ndarray]:
        plain = self._av.AudioResampler(format="fltp")
        try:
            for frame in self._container.decode(audio=0):
                for piece in plain.resample(frame):
                    yield np.ascontiguousarray(piece.to_ndarray().T)
        except self._av.FFmpegError as error:
            raise M4aError(error.strerror) from error
