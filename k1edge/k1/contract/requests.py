"""Requests to an edge and its responses: the verbs, their arguments, the answers.

Consumes `request/<verb>` with an id, a caller and an expiry; emits `response/<verb>` with `ok`, `rejected` (never
begun) or `failed` (begun, not done), a code and a reason. A new verb is a class of arguments and a line in `VERBS`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model, field_validator

from k1edge.device_facts import PATTERNS, TRANSITIONS
from k1edge.k1.contract.device import Parameters, Pattern, Transition, TransitionMs
from k1edge.k1.contract.library import LIBRARY_CODES, LIBRARY_VERBS
from k1edge.k1.contract.message import (
    REQUEST_LIMIT_BYTES,
    Code,
    Direction,
    EpochMs,
    Message,
    Text,
    Word,
)
from k1edge.k1.contract.parameters import known, palette_id

LEASE_S = 8.0
"""How long a manual change holds the edge off when the caller names no time."""

CORRECTED = ("tempo", "beat")
"""What the verbs that put the beat right begin with. As scopes of `state/override`: these leave the scenes to the edge."""

CODES = (
    "INVALID_REQUEST", "UNKNOWN_VERB", "EXPIRED", "RATE_LIMIT_EXCEEDED", "TOO_LARGE", "UNAUTHORIZED", "NOT_READY", "NOT_FOUND",
    "INTERNAL_ERROR", *LIBRARY_CODES,
)

LeaseS = Annotated[float, Field(gt=0, le=86_400)]


class NoArguments(BaseModel):
    """The verb says it all."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class SceneArguments(NoArguments):
    """A scene by hand. Names must exist; parameters beyond their range are clamped and counted.

    One that is left out has its default if a scene of the edge has set it before, else what the K1 has."""

    pattern: Pattern
    palette: int | Word = 0
    """Id 0..32, or name."""
    parameters: Parameters = Field(default_factory=dict)
    transition: Transition = "fade"
    transition_ms: TransitionMs = 1000
    lease_s: LeaseS = LEASE_S

    @field_validator("pattern")
    @classmethod
    def _known_pattern(cls, value: str) -> str:
        return known("pattern", value, PATTERNS)

    @field_validator("transition")
    @classmethod
    def _known_transition(cls, value: str) -> str:
        return known("transition", value, TRANSITIONS)

    @field_validator("palette")
    @classmethod
    def _known_palette(cls, value: int | str) -> int:
        return palette_id(value)

    @field_validator("parameters")
    @classmethod
    def _one_palette(cls, value: Parameters) -> Parameters:
        if "palette_id" in value:
            raise ValueError("`palette_id` is no parameter: choose the palette with `palette`")
        return value


class SimulateArguments(SceneArguments):
    """A scene to be tried out on a virtual K1: nobody sees it, and the answer says what it would be like."""

    seconds: Annotated[float, Field(ge=1, le=10)] = 4.0
    bpm: Annotated[float, Field(ge=30, le=300)] = 120.0


class HoldArguments(NoArguments):
    """Keep what is shown."""

    lease_s: LeaseS = LEASE_S


class NudgeArguments(NoArguments):
    """Later is positive."""

    ms: Annotated[float, Field(ge=-500, le=500)]


class MomentArguments(NoArguments):
    """The instant that is meant; the moment of receipt when left out."""

    at_ms: EpochMs | None = None


VERBS: dict[str, type[BaseModel]] = {
    "scene.apply": SceneArguments,
    "scene.hold": HoldArguments,
    "scene.simulate": SimulateArguments,
    "override.release": NoArguments,
    "tempo.double": NoArguments,
    "tempo.halve": NoArguments,
    "tempo.tap": MomentArguments,
    "beat.nudge": NudgeArguments,
    "beat.this_is_one": MomentArguments,
    "recorder.save": NoArguments,
    **LIBRARY_VERBS,
}


class Request(Message):
    """Something an edge is asked to do; the class of each verb says what its arguments are."""

    LEAF: ClassVar[str] = "request/+"
    QOS: ClassVar[Literal[0, 1]] = 1
    DIRECTION: ClassVar[Direction] = "edge-in"
    LIMIT_BYTES: ClassVar[int] = REQUEST_LIMIT_BYTES
    EXPIRY_S: ClassVar[float | None] = 10.0

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
    """Chosen by the caller; the same request with the same id, again within half a minute, gets the same answer, and nothing is
    done twice."""
    verb: Word = ""
    """Repeats the end of the topic, which decides."""
    caller: Word = ""
    expires_at_ms: EpochMs | None = None
    args: BaseModel

    @property
    def repeats(self) -> tuple[str, str, str, str]:
        """What is the same when it comes again."""
        return self.verb, self.caller, self.id, self.args.model_dump_json()


class Response(Message):
    """What became of a request."""

    LEAF: ClassVar[str] = "response/{verb}"
    QOS: ClassVar[Literal[0, 1]] = 1

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{0,64}$")]
    """Empty when the request was too broken to have one."""
    verb: Word
    caller: Word = ""
    result: Literal["ok", "rejected", "failed"]
    code: Code = ""
    reason: Text = ""
    data: dict[Word, JsonValue] = Field(default_factory=dict)


def _request(verb: str, arguments: type[BaseModel]) -> type[Message]:
    """The class of one verb's requests: `RequestBeatNudge` for `beat.nudge`."""
    name = "Request" + verb.replace(".", "_").title().replace("_", "")
    # What a field is for was read from the source of `Request`; looking for more is most of the time of an import.
    plain = {"use_attribute_docstrings": False}
    args = (arguments, Field(default_factory=dict, validate_default=True))
    model = create_model(name, __base__=Request, __cls_kwargs__=plain, __doc__=arguments.__doc__, verb=(Word, verb), args=args)
    model.LEAF = f"request/{verb}"
    return model


REQUESTS: dict[str, type[Message]] = {verb: _request(verb, arguments) for verb, arguments in VERBS.items()}
