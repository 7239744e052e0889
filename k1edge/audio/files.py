"""Audio files as a source: wav, flac, ogg, mp3 and (see `m4a`) m4a, streamed in small pieces and never held whole.

Consumes a path, emits `AudioBlock`s of the mono mix at 44.1 or 48 kHz: the file's own rate when it is one of these,
otherwise resampled once, here. Samples that are not finite become silence, so that no stage downstream needs to ask.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from k1edge.audio import RATES_HZ, AudioError
from k1edge.audio.blocks import blocks
from k1edge.audio.m4a import M4aError, M4aFile, is_m4a
from k1edge.frames import AudioBlock, StreamFormat

CHUNK_S = 0.5
"""Read at once: large enough that the decoder's overhead is small, small enough that a paced file never hiccups."""
RATE_LIMITS_HZ = (4_000, 768_000)
FORMATS = "wav, flac, ogg, mp3 or m4a"
LEAST_BYTES_A_S, MANY_BYTES_A_S = 100, 100_000
"""No sound takes less, and little takes more: for files that do not know how long they are, or are wrong about it."""
UNRECOGNISED, SAID_OF_BROKEN_MP3 = "Format not recognised", "File does not exist"
"""What libsndfile says of a file that is no sound; and of one that ends in .mp3, if its decoder found nothing in it."""
HEAD_BYTES, UNKNOWN = 4_096, b"\xff" * 4


class _Forward(soundfile.SoundFile):
    """Read from its beginning on: the library would otherwise seek to where it is after each piece, and of a stream that was
    written without a length lose the last."""

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        super().close()
        if isinstance(self.name, _Unended):  # which the library takes for its giver's
            self.name.close()


class _Unended:
    """A wav file whose writer was stopped before it wrote how long it is, as one that goes on to its end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close
        before, data, sound = self._file.read(HEAD_BYTES).partition(b"data" + bytes(4))
        self._head = before[:4] + UNKNOWN + before[8:] + data.replace(bytes(4), UNKNOWN) + sound
        self.seek(0)

    def read(self, count: int) -> bytes:
        """As of any file."""
        known = self._head[self.tell() :][:count]
        return known + self._file.read(count)[len(known) :]


def _forward(path: Path) -> _Forward:
    file = _Forward(os.fsencode(path))  # names need not be UTF-8
    return file if file.frames or not file.format.startswith("WAV") else _Forward(_Unended(path))


class FileSource:
    """One file as blocks, from the beginning at each iteration."""

    def __init__(self, path: str | Path, rate_hz: int | None = None, paced: bool = False) -> None:
        """`rate_hz` None keeps a file's own 44.1 or 48 kHz; `paced` plays it in real time. Raises AudioError."""
        self.path = Path(path)
        self._paced = paced
        self._file = self._open()
        native_hz = self._file.samplerate
        self.fmt = StreamFormat(rate_hz or _nearest_rate(native_hz))
        self.duration_s = self._file.frames / native_hz
        """As the file says, where that can be; a low guess by its size where it cannot."""
        size = self.path.stat().st_size
        if self.duration_s * LEAST_BYTES_A_S > size:
            self.duration_s = size / MANY_BYTES_A_S

    def __iter__(self) -> Iterator[AudioBlock]:
        try:
            self._file.seek(0)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise self._unreadable(error) from error
        return blocks(self._mono(), self.fmt, self._paced)

    def close(self) -> None:
        """Ends the source; a running iteration must not be continued."""
        self._file.close()

    def _open(self) -> soundfile.SoundFile:
        try:
            return self._opened()
        except PermissionError as error:
            raise AudioError(str(self.path), "may not be read by this user", "change its permissions") from error
        except (soundfile.SoundFileError, M4aError, OSError) as error:
            raise self._unreadable(error) from error

    def _opened(self) -> soundfile.SoundFile:
        path = self.path
        if not path.exists():
            raise AudioError(str(path), "there is no such file", "check the path")
        if not path.is_file():
            raise AudioError(str(path), "is not a file", f"give one {FORMATS} file")
        if not path.stat().st_size:
            raise AudioError(str(path), "is empty (0 bytes)", "copy or record it again")
        file = M4aFile(path) if is_m4a(path) else _forward(path)
        if not file.frames:
            raise AudioError(str(path), "holds no audio", "record it again")
        if not RATE_LIMITS_HZ[0] <= file.samplerate <= RATE_LIMITS_HZ[1]:
            raise AudioError(str(path), f"has a sample rate of {file.samplerate} Hz", "convert it to 44100 or 48000 Hz")
        return file

    def _unreadable(self, error: Exception) -> AudioError:
        return AudioError(str(self.path), f"cannot be read as audio ({_reason(error)})", f"give an undamaged {FORMATS} file")

    def _mono(self) -> Iterator[np.ndarray]:
        chunks = self._mixed()
        native_hz = self._file.samplerate
        return chunks if native_hz == self.fmt.rate_hz else resampled(chunks, native_hz, self.fmt.rate_hz)

    def _mixed(self) -> Iterator[np.ndarray]:
        frames = round(CHUNK_S * self._file.samplerate)
        while True:
            try:
                chunk = self._file.read(frames, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                raise self._unreadable(error) from error
            if not len(chunk):
                return
            mono = chunk[:, 0] if chunk.shape[1] == 1 else chunk.mean(axis=1)
            if not np.isfinite(mono).all():
                mono = np.nan_to_num(mono, copy=True, nan=0.0, posinf=0.0, neginf=0.0)
            yield np.clip(mono, -1.0, 1.0)


def encoded(name: str | Path, samples: np.ndarray, rate_hz: int) -> bytes:
    """(n,) or (n, channels) float32 as the kind of file that this name ends in. Raises AudioError."""
    remedy = "give a name like song.wav"
    kind = Path(name).suffix.lstrip(".").upper()
    if kind not in soundfile.available_formats():
        raise AudioError(str(name), "has an ending that is no kind of sound", remedy)
    content, step = io.BytesIO(), round(CHUNK_S * rate_hz)
    try:
        with soundfile.SoundFile(content, "w", rate_hz, 1 if samples.ndim == 1 else samples.shape[1], format=kind) as file:
            for start in range(0, len(samples), step):  # Vorbis has no stack for a minute at once, and dies
                file.write(samples[start : start + step])
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise AudioError(str(name), f"cannot be made ({_reason(error)})", remedy) from error
    return content.getvalue()


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(getattr(error, "error_string", error)).strip().rstrip(".")
    return UNRECOGNISED if reason.startswith(SAID_OF_BROKEN_MP3) else reason


def _nearest_rate(native_hz: int) -> int:
    """The file's own rate, or the one of the two that is in a simple ratio to it (else the higher)."""
    if native_hz in RATES_HZ:
        return native_hz
    return 44_100 if native_hz % 11_025 == 0 else 48_000


def resampled(chunks: Iterator[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Streaming band-limited resampling without delay: sample 0 stays at time 0."""
    import soxr  # only few files need it: the daemon's start stays light

    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    for chunk in chunks:
        yield stream.resample_chunk(chunk)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)
