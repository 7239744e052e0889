"""The messages about what an edge keeps - its jobs, its tracks, the maps that lead the light, its configuration - and the one
that it receives there, a new configuration.

Consumes nothing but what the library and the start-up know; emits JSON at `k1/v1/<site>/edge/<edge>/...`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from k1edge.k1.contract.message import (
    Bpm,
    Code,
    CommandId,
    Count,
    EpochMs,
    Id,
    Message,
    NonNegative,
    Scalar,
    Signed,
    Text,
    Unit,
    Word,
)


class Job(Message, leaf="job/{id}", retain=True):
    """One analysis job."""

    id: Id
    track: Id | None = None
    state: Literal["queued", "processing", "completed", "failed"]
    stage: Word = ""
    progress: Unit = 0.0
    position: Count | None = None
    """1 = next, 0 = does not wait; not told of one far behind."""
    eta_s: NonNegative | None = None
    """Seconds until the map is there."""
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    """10 goes first."""
    code: Code = ""
    reason: Text = ""
    log_tail: Annotated[tuple[Text, ...], Field(max_length=20)] = ()


class Track(Message, leaf="track/{id}", retain=True):
    """The summary of one track in the library."""

    id: Id
    title: Text = ""
    artist: Text = ""
    duration_ms: NonNegative = 0.0
    bpm: Bpm = 0.0
    status: Literal["processing", "ready", "warning", "failed"]
    version: Count = 0
    updated_ms: EpochMs = 0.0
    detail: Annotated[dict[Word, Scalar], Field(max_length=64)] = Field(default_factory=dict)


class Deployment(Message, leaf="deploy/{id}", retain=True):
    """One stored map that leads, or is to lead, the light."""

    id: Id
    track: Id
    version: Count
    state: Literal["waiting", "leading", "over", "rolled_back", "stopped"]
    devices: Annotated[dict[Word, Literal["ok", "absent"]], Field(max_length=16)] = Field(default_factory=dict)
    start_at_ms: EpochMs | None = None
    drift_ms: Signed | None = None


class ConfigReported(Message, leaf="config/reported", retain=True):
    """Which configuration is running, and where it came from."""

    hash: Word
    """The first 16 digits of the SHA-256 of the TOML; the parent that a `config/desired` names."""
    generation: Count
    """Counts the configurations that have proved themselves; 0 = defaults."""
    origin: Literal["file", "remote", "last-known-good", "defaults"]
    on_trial: bool = False
    """It has yet to prove itself; what proved itself before is kept."""
    refused: Word = ""
    """Hash of a configuration that was wanted and is not running: for the reason and the faults below."""
    code: Code = ""
    reason: Text = ""
    faults: Annotated[tuple[Text, ...], Field(max_length=64)] = ()


class ConfigDesired(Message, leaf="config/desired", direction="edge-in", limit_bytes=65_536):
    """A whole configuration to run from now on. Accepted only where the edge's own file allows it; not retained, so that an
    edge that was away is not surprised by an old wish. The edge starts anew to try it: `config/reported` and `event/config` say
    what became of it."""

    id: CommandId = ""
    caller: Word = ""
    parent: Word
    """Hash of the configuration that was edited, as in `config/reported`: another one running now is not overwritten."""
    expires_at_ms: EpochMs | None = None
    toml: Annotated[str, Field(max_length=65_536)]
    """All of the file. What says who the edge is and whom it believes (site, edge, [mqtt]) may be left out, not changed."""
