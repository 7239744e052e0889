"""Where sound comes from: every source iterates `AudioBlock`s of one `StreamFormat` and raises only `AudioError`."""

from __future__ import annotations

LOST, ABSENT, STALLED = "AUDIO_LOST", "AUDIO_ABSENT", "AUDIO_STALLED"
RATE, BUSY, CHOICE = "AUDIO_RATE", "AUDIO_BUSY", "AUDIO_CHOICE"
"""Pulled, not there, silent as a stopped clock, at another rate, in use, or not clear which is meant."""


class AudioError(Exception):
    """Sound cannot be had: which device or file, why, and what a person should do about it; the code is for machines."""

    def __init__(self, device: str, reason: str, remedy: str, code: str = LOST) -> None:
        super().__init__(f"{device}: {reason}; {remedy}")
        self.device = device
        self.reason = reason
        self.remedy = remedy
        self.code = code
