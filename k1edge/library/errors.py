"""What the library refuses, in words a caller can act on."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Error codes of replies and of failed jobs."""

    TRACK_NOT_FOUND = "TRACK_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    ARTIFACT_DAMAGED = "ARTIFACT_DAMAGED"
    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_FILE_FORMAT = "INVALID_FILE_FORMAT"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_NOT_ALLOWED = "FILE_NOT_ALLOWED"
    NO_MUSIC = "NO_MUSIC"
    """Silence, or nothing with a beat: there is no map to make."""
    ANALYSIS_FAILED = "ANALYSIS_FAILED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    TIME_LIMIT = "TIME_LIMIT"
    CANCELLED = "CANCELLED"
    TOO_LATE = "TOO_LATE"
    DEPLOYMENT_FAILED = "DEPLOYMENT_FAILED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class LibraryError(Exception):
    """What cannot be done, by its code and with the reason."""

    def __init__(self, code: Code, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code}: {reason}")
