"""Topics and bytes: the only place where a message becomes a publication, or bytes become a message.

Consumes messages and emits bytes (`encode`); consumes a topic with bytes and emits a message (`decode`) or a
ContractError. Whatever a stranger sends, `decode` returns or raises ContractError, in time bounded by the size limit.
Cost: about 20 us to write a beat and 10 us to decode one, on a desktop core.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, from_json

from k1edge.k1.contract.device import COMMANDS, REPORTS
from k1edge.k1.contract.edge import EDGE_MESSAGES
from k1edge.k1.contract.message import ID_PATTERN, PRINTABLE, ROOT, ContractError, Message, Publication, printable
from k1edge.k1.contract.requests import REQUESTS, Request, Response
from k1edge.unfit import why

_ID = re.compile(ID_PATTERN)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_WORD = re.compile(rf"(?={PRINTABLE}).{{0,64}}")
_FAULTS_TOLD = 3
_KIND = re.compile(r"(constrained-)?(int|float|str|bool)")
"""What pydantic puts into the place of a value that may be of several kinds."""


def _by_leaf(messages: tuple[type[Message], ...]) -> dict[str, type[Message]]:
    return {model.LEAF.split("{")[0]: model for model in messages}


_EDGE = _by_leaf((*EDGE_MESSAGES, Response))
_DEVICE = _by_leaf((*COMMANDS, *REPORTS))


@dataclass(frozen=True, slots=True)
class Address:
    """A topic taken apart."""

    site: str
    role: str
    """`edge` or `device`."""
    node: str
    model: type[Message]
    last: str = ""
    """What stands for the braces of the model's LEAF: event kind, verb, job or track id."""


def topic(message: Message | type[Message], site: str, node: str, last: str = "") -> str:
    """Topic of a message, or of a class when `last` fills the braces (`+` for a filter)."""
    role = "device" if message.DIRECTION in ("to-device", "from-device") else "edge"
    leaf = message.LEAF
    if leaf.endswith("}"):
        family, field = leaf[:-1].split("{")
        leaf = family + (last or getattr(message, field))
    return f"{ROOT}/{site}/{role}/{node}/{leaf}"


def address(topic_name: str) -> Address:
    """Take a topic apart. Raises ContractError UNKNOWN_TOPIC or UNKNOWN_VERB."""
    levels = topic_name.split("/", 5)
    if len(levels) != 6 or levels[0] != "k1" or f"k1/{levels[1]}" != ROOT:
        raise ContractError("UNKNOWN_TOPIC", f"not a topic of {ROOT}")
    _, _, site, role, node, leaf = levels
    if role not in ("edge", "device") or not _ID.fullmatch(site) or not _ID.fullmatch(node):
        raise ContractError("UNKNOWN_TOPIC", "site and node are a-z 0-9 -, between them `edge` or `device`")
    if role == "edge" and leaf.startswith("request/"):
        verb = leaf.removeprefix("request/")
        if verb not in REQUESTS:
            raise ContractError("UNKNOWN_VERB", f"no such request; there are {', '.join(REQUESTS)}")
        return Address(site, role, node, REQUESTS[verb], verb)
    known = _EDGE if role == "edge" else _DEVICE
    if leaf in known:
        return Address(site, role, node, known[leaf])
    family, slash, last = leaf.partition("/")
    if family + slash not in known or not last or "/" in last:
        raise ContractError("UNKNOWN_TOPIC", "no message of the contract has this topic")
    return Address(site, role, node, known[family + slash], last)


def decode(topic_name: str, payload: bytes) -> Message:
    """The message in a publication. Raises ContractError with a code, a reason, and the request's id and caller if readable."""
    try:
        return _decoded(address(topic_name), payload)
    except ContractError as error:
        error.request_id, error.caller = _word(payload, "id", _REQUEST_ID), _word(payload, "caller")
        raise


def _decoded(where: Address, payload: bytes) -> Message:
    if len(payload) > where.model.LIMIT_BYTES:
        raise ContractError("TOO_LARGE", f"{len(payload)} bytes where {where.model.LIMIT_BYTES} are allowed")
    try:
        message = where.model.model_validate_json(payload)
    except ValidationError as error:
        raise ContractError("INVALID_REQUEST", _told(error.errors(include_url=False, include_input=False))) from None
    if isinstance(message, Request):
        return message.model_copy(update={"verb": where.last})
    return message


def encode(message: Message) -> bytes:
    """Compact UTF-8 JSON without the fields that are None. Raises ContractError NOT_FINITE, TOO_LARGE or NOT_JSON."""
    try:
        payload = message.__pydantic_serializer__.to_json(message, exclude_none=True, warnings=False, fallback=_plain)
    except PydanticSerializationError as error:
        raise ContractError("NOT_JSON", f"{type(message).__name__}: {error}") from None
    if (b"NaN" in payload or b"Infinity" in payload) and (field := _not_finite(from_json(payload))):
        raise ContractError("NOT_FINITE", f"{type(message).__name__}.{field} is not a finite number")
    if len(payload) > message.LIMIT_BYTES:
        raise ContractError("TOO_LARGE", f"{type(message).__name__} takes {len(payload)} of {message.LIMIT_BYTES} bytes")
    return payload


class Stamp(NamedTuple):
    """When a message is made."""

    ts_ms: int
    clock_synced: bool
    monotonic_ns: int = 0
    """The same moment on the clock that never steps; not sent."""


class Scribe:
    """Writes the publications of one node: counts `seq`, fills in the stamp, finds topic, QoS and retain."""

    def __init__(self, site: str, node: str) -> None:
        self.node = node
        self._site = site
        self._seq: dict[str, int] = {}

    def write(self, model: type[Message], stamp: Stamp, **fields: object) -> Publication:
        """A message at this node's own level; the fields are trusted, not validated. Raises as `encode` does."""
        return self.write_to(self.node, model, stamp, **fields)

    def write_to(self, to: str, model: type[Message], stamp: Stamp, **fields: object) -> Publication:
        """A message at another node's level: a command to a K1, a request to an edge."""
        return self.post(to, model.model_construct(**fields), stamp)

    def post(self, to: str, message: Message, stamp: Stamp) -> Publication:
        """The same for a message that exists already; its seq and stamp are filled in."""
        where = topic(message, self._site, to)
        seq = self._seq.get(where, 0)
        vars(message).update(seq=seq, ts_ms=stamp.ts_ms, clock_synced=stamp.clock_synced)
        payload = encode(message)
        self._seq[where] = seq + 1
        return Publication(where, payload, message.QOS, message.RETAIN, message.EXPIRY_S)

    def cleared(self, model: type[Message], last: str) -> Publication:
        """What makes a broker forget this node's retained message; its topic begins anew, should there be another."""
        where = topic(model, self._site, self.node, last)
        self._seq.pop(where, None)
        return Publication(where, b"", model.QOS, True)

    def parted(self, node: str) -> Iterator[Publication]:
        """What makes a broker forget what is kept for a K1 that is commanded no more; nothing of it is remembered here."""
        for model in COMMANDS:
            where = topic(model, self._site, node)
            if self._seq.pop(where, None) is not None and model.RETAIN:
                yield Publication(where, b"", model.QOS, True)


def _told(faults: list[ErrorDetails]) -> str:
    """The first of them, each place once: of a value that may be of several kinds, pydantic tells why it is none of each."""
    said: dict[str, str] = {}
    for fault in faults:
        place = ".".join(str(level)[:40] for level in fault["loc"] if not _KIND.fullmatch(str(level)))
        if place in said:
            said[place] += f" or {why(fault)}"
        elif len(said) < _FAULTS_TOLD:
            said[place] = f"{place}: {why(fault)}" if place else why(fault)
        else:
            break
    return "; ".join(printable(each)[:160] for each in said.values())


def sender(payload: bytes) -> str:
    """The node that a command says it comes from; '' where none can be made out."""
    return _word(payload, "sender")


def _word(payload: bytes, key: str, allowed: re.Pattern[str] = _WORD) -> str:
    """One text of a message, or of the beginning of one that was too long to be kept."""
    try:
        found = from_json(payload, allow_partial=True).get(key, "")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) and allowed.fullmatch(found) else ""


def _plain(value: object) -> object:
    """A NumPy scalar as the Python number it is."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} has no place in a message")
    return item()


def _not_finite(value: object, place: str = "") -> str:
    """Where in a parsed message the first number is that is not finite; empty when all are."""
    if isinstance(value, dict):
        inner = ((f"{place}.{key}".strip("."), child) for key, child in value.items())
    elif isinstance(value, list):
        inner = ((f"{place}[{index}]", child) for index, child in enumerate(value))
    else:
        return place if isinstance(value, float) and not math.isfinite(value) else ""
    return next((found for where, child in inner if (found := _not_finite(child, where))), "")
