"""Requests to an edge and its responses: the verbs, their arguments, the answers.

Consumes `request/<verb>` with an id, a caller and an expiry; emits `response/<verb>` with `ok`, `rejected` (never
begun) or `failed` (begun, not done), a code and a reason. A new verb is a class of arguments and a row in `VERBS`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, JsonValue, create_model, field_validator

from k1edge.device_facts import PALETTES, PATTERNS, TRANSITIONS
from k1edge.k1.contract.device import Parameters, Pattern, Transition, TransitionMs
from k1edge.k1.contract.library import LIBRARY_CODES, LIBRARY_VERBS
from k1edge.k1.contract.message import REQUEST_LIMIT_BYTES, Code, EpochMs, Message, Part, Text, Verb, Word
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


class NoArguments(Part):
    """None are needed; any that are given are ignored."""


class SceneArguments(NoArguments):
    """Pattern, palette and transition must exist; parameters beyond their range are clamped and counted.

    One that is left out has its default if a scene of the edge has set it before, else what the K1 has."""

    pattern: Annotated[Pattern, AfterValidator(partial(known, "pattern", names=PATTERNS))]
    palette: Annotated[int | Word, AfterValidator(palette_id), Field(examples=list(PALETTES))] = 0
    """Id 0..32, or name."""
    parameters: Parameters = Field(default_factory=dict)
    transition: Annotated[Transition, AfterValidator(partial(known, "transition", names=TRANSITIONS))] = "fade"
    transition_ms: TransitionMs = 1000
    lease_s: LeaseS = LEASE_S

    @field_validator("parameters")
    @classmethod
    def _one_palette(cls, value: Parameters) -> Parameters:
        if "palette_id" in value:
            raise ValueError("`palette_id` is no parameter: choose the palette with `palette`")
        return value


class SimulateArguments(SceneArguments):
    """Those of a scene, and for how long and at what tempo it is tried."""

    seconds: Annotated[float, Field(ge=1, le=10)] = 4.0
    bpm: Annotated[float, Field(ge=30, le=300)] = 120.0


class HoldArguments(NoArguments):
    """For how long."""

    lease_s: LeaseS = LEASE_S


class NudgeArguments(NoArguments):
    """By how much."""

    ms: Annotated[float, Field(ge=-500, le=500)]
    """Positive is later."""


class MomentArguments(NoArguments):
    """Which moment is meant."""

    at_ms: EpochMs | None = None
    """UTC epoch, ms; when left out, the moment of receipt."""


_LEASE = ("expires_at_ms",)
VERBS = {
    "scene.apply": Verb(SceneArguments, "Shows a scene on every K1 until the lease ends, in place of the edge's own.",
                        (*_LEASE, "clamped")),
    "scene.hold": Verb(HoldArguments, "Keeps what is shown until the lease ends.", _LEASE),
    "scene.simulate": Verb(
        SimulateArguments, "Tries a scene on a virtual K1 that nobody sees, and says what it would look like.",
        ("frames", "luminance_mean", "luminance_max", "lit_share", "movement", "flashes_per_s", "colour", "clamped", "limited",
         "changes", "frame_ms", "cpu_pct")),
    "override.release": Verb(NoArguments, "Ends the lease of a scene or a correction early: the edge takes over again.",
                             ("released",)),
    "tempo.double": Verb(NoArguments, "Doubles the tempo that is followed, for as long as the music keeps it.", _LEASE),
    "tempo.halve": Verb(NoArguments, "Halves the tempo that is followed, for as long as the music keeps it.", _LEASE),
    "tempo.tap": Verb(MomentArguments, "Says that a beat falls now; a few taps in a row also give the tempo.", _LEASE),
    "beat.nudge": Verb(NudgeArguments, "Moves the beats a little: positive is later.", _LEASE),
    "beat.this_is_one": Verb(MomentArguments, "Says that the beat nearest to now begins a bar.", _LEASE),
    "recorder.save": Verb(NoArguments, "Saves the last minutes to a file for `k1edge replay`.", ("file",)),
    **LIBRARY_VERBS,
}  # fmt: skip


class Request(Message, leaf="request/+", direction="edge-in", limit_bytes=REQUEST_LIMIT_BYTES, expiry_s=10.0):
    """Something an edge is asked to do; the class of each verb says what its arguments are."""

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


class Response(Message, leaf="response/{verb}"):
    """What became of a request."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{0,64}$")]
    """Empty when the request was too broken to have one."""
    verb: Word
    caller: Word = ""
    result: Literal["ok", "rejected", "failed"]
    """`rejected` was never begun; `failed` was, and was not done."""
    code: Annotated[Code, Field(examples=list(CODES))] = ""
    reason: Text = ""
    data: dict[Word, JsonValue] = Field(default_factory=dict)
    """Of each verb another: the class of its requests says what."""


def _request(name: str, verb: Verb) -> type[Message]:
    """The class of one verb's requests: `RequestBeatNudge` for `beat.nudge`."""
    # What a field is for was read from the source of `Request`; looking for more is most of the time of an import.
    facts = {"use_attribute_docstrings": False, "leaf": f"request/{name}"}
    args = (verb.arguments, Field(default_factory=dict, validate_default=True))
    said = f"{verb.purpose}\n\nThe `data` of the answer: {', '.join(f'`{key}`' for key in verb.answer)}."
    model = "Request" + name.replace(".", "_").title().replace("_", "")
    return create_model(model, __base__=Request, __cls_kwargs__=facts, __doc__=said, verb=(Word, name), args=args)


REQUESTS = {name: _request(name, verb) for name, verb in VERBS.items()}
