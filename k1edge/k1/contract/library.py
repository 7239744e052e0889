"""What the library of an edge can be asked: the arguments of each verb, checked before they leave the loop.

A reply holds what fits below 128 KB: lists are paged with `limit` and `offset`, maps with `from_ms` and `to_ms`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from k1edge.k1.contract.message import EpochMs, Part, Text, Verb, Word

Status = Literal["processing", "ready", "warning", "failed"]
Version = Annotated[int, Field(ge=1, le=1_000_000)]
Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, le=10_000_000)]
Ms = Annotated[float, Field(ge=0, le=1e9)]
Layer = Literal["rhythm", "frequency", "dynamics", "spectral", "annotations"]
Tags = Annotated[tuple[Word, ...], Field(max_length=32, strict=False)]


LIBRARY_CODES = (
    "TRACK_NOT_FOUND", "VERSION_NOT_FOUND", "JOB_NOT_FOUND", "ARTIFACT_NOT_FOUND", "ARTIFACT_DAMAGED", "INVALID_FILE_FORMAT",
    "FILE_TOO_LARGE", "FILE_NOT_FOUND", "FILE_NOT_ALLOWED", "NO_MUSIC", "ANALYSIS_FAILED", "OUT_OF_MEMORY", "TIME_LIMIT",
    "CANCELLED", "TOO_LATE", "DEPLOYMENT_FAILED",
)  # fmt: skip
"""Beside those of every request."""


class LibraryArguments(Part, extra="forbid"):
    """None are needed; unknown ones are refused, since a misspelt filter must not pass for a missing one."""


class TrackListArguments(LibraryArguments):
    """What the tracks have in common, how they are ordered, and which page of them is meant."""

    text: Text = ""
    status: Status | None = None
    preset: Word | None = None
    source: Literal["file", "live"] | None = None
    tag: Word | None = None
    pinned: bool | None = None
    bpm_min: float | None = None
    bpm_max: float | None = None
    order: Literal["updated", "title", "artist", "bpm"] = "updated"
    limit: Limit = 50
    offset: Offset = 0


class TrackArguments(LibraryArguments):
    """Which track."""

    track: Word
    """Its id, as `track.list` gives it."""


class TrackGetArguments(TrackArguments):
    """Which track, which layers of its map, and between which times."""

    version: Version | None = None
    layers: Annotated[tuple[Layer, ...], Field(max_length=5, strict=False)] = ("rhythm", "annotations")
    from_ms: Ms = 0.0
    to_ms: Ms = 1e9
    points: Annotated[int, Field(ge=1, le=1_500)] = 400
    """Of each band, at most."""


class TrackImportArguments(LibraryArguments):
    """Which file, and what is known of it."""

    path: Text
    """Within the music folder."""
    title: Text = ""
    artist: Text = ""
    tags: Tags = ()
    preset: Word = "default"
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    """10 goes first."""


class TrackPinArguments(TrackArguments):
    """Which track, and whether it is to be pinned or let go."""

    pinned: bool = True


class VersionArguments(TrackArguments):
    """Which track, and which of its versions."""

    version: Version | None = None
    """The current one when left out."""


class VersionPromoteArguments(TrackArguments):
    """Which track, and which of its versions."""

    version: Version


class VersionDiffArguments(TrackArguments):
    """Which track, and which two of its versions."""

    old: Version
    new: Version


class BeatsOverrideArguments(TrackArguments):
    """Which track, and either all of its beats or what to change about them."""

    edited_by: Word = ""
    note: Text = ""
    beats: Annotated[tuple[float, ...], Field(max_length=2_000, strict=False)] | None = None
    """All beats, in seconds from the start of the song."""
    ops: Annotated[tuple[dict[Word, JsonValue], ...], Field(max_length=500, strict=False)] | None = None
    """In order: {"op": "add", "at_ms": ...}, {"op": "delete", "at_ms": ...} or {"op": "move", "from_ms": ..., "to_ms": ...}."""


class JobListArguments(LibraryArguments):
    """Which state the jobs are in, and which page of them is meant."""

    state: Literal["queued", "processing", "completed", "failed"] | None = None
    limit: Limit = 50
    offset: Offset = 0


class JobArguments(LibraryArguments):
    """Which job."""

    job: Word
    """Its id, as `job.list` gives it."""


class DeployArguments(VersionArguments):
    """Which track and version, and when the song begins."""

    start_at_ms: EpochMs | None = None
    """UTC epoch at which the song begins or began, ms; when left out, it is the next one that begins after a pause."""


class LogTailArguments(LibraryArguments):
    """The log of this job, or else the audit, of one track or of all."""

    job: Word | None = None
    track: Word | None = None
    limit: Limit = 50


_JOB = (
    "id", "track_id", "file", "state", "stage", "progress", "priority", "position", "eta_s", "attempts", "submitted_ms",
    "started_ms", "finished_ms", "code", "reason", "log_tail",
)  # fmt: skip
LIBRARY_VERBS = {
    "track.list": Verb(TrackListArguments, "Lists tracks, by words from title, artist, tags and file name, and by filters.",
                       ("tracks", "total", "offset", "returned")),
    "track.get": Verb(TrackGetArguments, "Tells of a track, with some layers of its map, whole or between two times.",
                      ("track", "version", "metadata", "global_metrics", "layers")),
    "track.import": Verb(
        TrackImportArguments, "Analyses a file that lies in the edge's music folder: path=inbox/night.wav, say.",
        ("track", "job", "state", "position")),
    "track.delete": Verb(TrackArguments, "Deletes a track; `track.restore` brings it back for half a minute.",
                         ("track", "restorable_until_ms")),
    "track.restore": Verb(TrackArguments, "Brings back a track that has just been deleted.", ("track",)),
    "track.pin": Verb(TrackPinArguments, "Keeps a track when space for maps runs out; pinned=false lets it go again.",
                      ("track", "pinned")),
    "version.list": Verb(TrackArguments, "Lists the versions of a track's map.", ("track", "current", "versions")),
    "version.diff": Verb(VersionDiffArguments, "Says what changed between two versions.",
                         ("track", "old", "new", "bpm", "duration_ms", "beats", "matched_beats", "moved_beats", "moved_by_ms",
                          "beat_f_measure", "downbeats", "matched_downbeats", "key", "sections", "section_starts_ms",
                          "drops_ms", "changed")),
    "version.promote": Verb(VersionPromoteArguments, "Makes a version the current one.", ("track", "current")),
    "beats.override": Verb(
        BeatsOverrideArguments, "Corrects the beats of a map: all of them in seconds, or single ones by operations in ms.",
        ("track", "version")),
    "job.list": Verb(JobListArguments, "Lists analyses that are under way, waiting or ended.",
                     ("jobs", "offset", "active", "workers", "queued")),
    "job.retry": Verb(JobArguments, "Tries an analysis that failed again.", _JOB),
    "job.cancel": Verb(JobArguments, "Cancels an analysis.", _JOB),
    "artefact.list": Verb(VersionArguments, "Lists the files of a track's map.", ("track", "artefacts")),
    "bundle.get": Verb(VersionArguments, "Says what deploying a track's map would send, and in which file it is.",
                       ("manifest", "map_bytes", "path", "runtime_estimate")),
    "deploy": Verb(
        DeployArguments,
        "Lets a track's map lead the light: from the song's start, or from the next song that begins after a pause.",
        ("track", "version", "map_sha256", "bpm", "beats", "deployment", "devices", "start_at_ms")),
    "deploy.stop": Verb(LibraryArguments, "Ends what `deploy` began: the live engine leads again at once.", ("stopped",)),
    "log.tail": Verb(LogTailArguments, "Shows the last lines of a job's log, or who did what to the tracks.",
                     ("entries", "job", "lines")),
    "storage.usage": Verb(LibraryArguments,
                          "Says how much of the space for maps is used, and how many tracks and damaged maps are there.",
                          ("used_bytes", "limit_bytes", "used_pct", "warning", "tracks", "pinned", "quarantined")),
}  # fmt: skip
