"""What every message has in common: its stamp, its address facts, its types of field, and how it fails.

Consumes nothing; emits the vocabulary the message classes are written in. Receivers ignore unknown keys; text is
printable (a label can reach a terminal); numbers are finite; ids are `a-z 0-9 -`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

VERSION = "1"
"""Major version of the contract, the second level of every topic; changes only when an old receiver would misread."""

ROOT = f"k1/v{VERSION}"
SMALL_BYTES = 1023
"""What a microcontroller parses into a fixed document of 1 KB: all that a K1 is sent, and what a lamp can follow by itself."""
REQUEST_LIMIT_BYTES = 16_384
EDGE_LIMIT_BYTES = 131_072
"""Replies are paged below 128 KB."""

LATEST_MS = 32_503_680_000_000
"""Year 3000: a later time stamp is a unit error."""

ID_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
"""No control characters and no direction overrides: what a stranger writes is shown on terminals."""

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
CommandId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{0,64}$")]
"""Names one command or request so that it can be acknowledged and is done once; empty = no answer wanted."""
Word = Annotated[str, StringConstraints(max_length=64, pattern=PRINTABLE)]
TEXT_LIMIT = 512
Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT, pattern=PRINTABLE)]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{0,48}$")]
Unit = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=-200, le=40)]
Bpm = Annotated[float, Field(ge=0, le=300)]
EpochMs = Annotated[float, Field(ge=0, le=LATEST_MS)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Whole numbers stay exact in a receiver that only knows doubles."""
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Signed = Annotated[float, Field(ge=-1e9, le=1e9)]
NonNegative = Annotated[float, Field(ge=0, le=1e12)]
Scalar = Number | bool | Text

Direction = Literal["edge-out", "edge-in", "to-device", "from-device"]


class Verb(NamedTuple):
    """What a request can ask for."""

    arguments: type[BaseModel]
    purpose: str
    """What it does, in a line: for the documents, and for `k1edge ask`."""
    answer: tuple[str, ...]
    """What `data` holds when the answer is `ok`."""


def printable(text: str) -> str:
    """Anything as a `Text`: short, on one line, and nothing that moves a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text[:TEXT_LIMIT])


class ContractError(Exception):
    """A message that breaks the contract: a code for machines, a reason for people, who asked where that could be read."""

    def __init__(self, code: str, reason: str, request_id: str = "") -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.request_id, self.caller = request_id, ""


class Part(BaseModel):
    """What a message holds."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Message(Part, ser_json_inf_nan="constants"):
    """One message: the class says where it goes and how, the fields what it says."""

    LEAF: ClassVar[str]
    """Topic below the node; a last level in braces is filled by the sender."""
    QOS: ClassVar[Literal[0, 1]] = 1
    RETAIN: ClassVar[bool] = False
    DIRECTION: ClassVar[Direction] = "edge-out"
    LIMIT_BYTES: ClassVar[int] = EDGE_LIMIT_BYTES
    EXPIRY_S: ClassVar[float | None] = None
    """Worthless after this long: dropped from every queue, ours and the broker's."""

    def __init_subclass__(cls, **facts: object) -> None:
        """What differs from above is said beside the name: `class Beat(Message, leaf="beat", qos=0)`."""
        for name, fact in facts.items():
            if name.upper() not in Message.__annotations__:
                raise TypeError(f"{cls.__name__}: a message has no {name!r}")
            setattr(cls, name.upper(), fact)

    seq: Count = 0
    """Rises by one per topic and boot: a gap is a loss; of what is retained, a state that was over before it could be sent."""
    ts_ms: Annotated[int, Field(ge=0, le=LATEST_MS)] = 0
    """UTC epoch when it was made."""
    clock_synced: bool = False
    """Whether `ts_ms` can be trusted: false before the first time synchronisation of this boot."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way: what the link needs, and nothing of what it means."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    expiry_s: float | None = None
    correlation: bytes = b""
