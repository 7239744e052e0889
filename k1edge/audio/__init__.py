"""Where sound comes from: every source iterates `AudioBlock`s of one `StreamFormat` and raises only `AudioError`.

Layer: edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from k1edge.frames import AudioBlock, StreamFormat

RATES_HZ = (44_100, 48_000)
"""Of every source; what has another is resampled, or refused."""
LOST, ABSENT, STALLED = "AUDIO_LOST", "AUDIO_ABSENT", "AUDIO_STALLED"
RATE, BUSY, CHOICE, CHANNEL = "AUDIO_RATE", "AUDIO_BUSY", "AUDIO_CHOICE", "AUDIO_CHANNEL"
"""Pulled, not there, silent as a stopped clock, at another rate, in use, not clear which is meant, or with fewer channels."""


class AudioError(Exception):
    """Sound cannot be had: which device or file, why, and what a person should do about it; the code is for machines."""

    before: BaseException | None = None
    """What had been raised already, if not of the sound."""

    def __init__(self, device: str, reason: str, remedy: str, code: str = LOST) -> None:
        super().__init__(f"{device}: {reason}; {remedy}")
        self.device = device
        self.reason = reason
        self.remedy = remedy
        self.code = code


class Source(Protocol):
    """Blocks of one format; None when none came for a while. Raises AudioError when the sound is gone."""

    fmt: StreamFormat

    def __iter__(self) -> Iterator[AudioBlock | None]: ...

    def close(self) -> None: ...


class StuckError(AudioError):
    """The sound library does not return: only a new process helps, and the exit of this one would wait for it, too."""

    raised = False
    """In this process."""

    def __init__(self, device: str, reason: str, remedy: str) -> None:
        super().__init__(device, reason, remedy)
        StuckError.raised = True

    @property
    def before(self) -> BaseException | None:
        """What had been raised when it was asked to let go, if not of the sound."""
        fault = self.__context__
        while isinstance(fault, AudioError):
            fault = None if fault.__suppress_context__ else fault.__context__  # what it was told by is of the sound, too
        return fault
