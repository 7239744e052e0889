"""Where sound comes from: every source iterates `AudioBlock`s of one `StreamFormat` and raises only `AudioError`."""

from __future__ import annotations


class AudioError(Exception):
    """Sound cannot be had: which device or file, why, and what a person should do about it."""

    def __init__(self, device: str, reason: str, remedy: str) -> None:
        super().__init__(f"{device}: {reason}; {remedy}")
        self.device = device
        self.reason = reason
        self.remedy = remedy
