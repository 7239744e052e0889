"""The configurations that have proved themselves, the one on its way, and what became of the last starts.

Consumes and emits `Generation`s (the bytes of a TOML file and where they came from) and one small `Record`. Every file is
written beside, flushed and renamed, and holds its own checksum: a power cut at any moment leaves the state before or after a
step, and every step may be repeated. One folder per configuration file; a start that goes well costs two small writes, and one
that is stopped early a third, which waits for nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from k1edge.whole import write_whole

KEPT = 5
"""Generations kept: enough to walk back over an evening of attempts, a few KB each."""
REFUSALS = 5
HASH_DIGITS = 16
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_HEADER = b"# k1edge "
_NAME = re.compile(r"generation-(\d{6,})\.toml")


def digest(content: bytes) -> str:
    """A short name for a text: equal only if its bytes are; the beginning of what `sha256sum` prints."""
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def machine_boot() -> str:
    """Differs after every boot of the machine; '' where the kernel does not tell."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def running_program() -> str:
    """Where it is installed: each version has a place of its own."""
    return os.path.realpath(sys.prefix)


@dataclass(frozen=True, slots=True)
class Generation:
    """A configuration and all that is needed to load it again."""

    content: bytes
    origin: str = "file"
    """`file`, `remote` (over MQTT) or `rollback` (by hand)."""
    folder: str = "/"
    """What its relative paths refer to."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """Tables and keys of the top level that stand in place of its own."""
    over: str | None = None
    """Hash of the local file that it came after and is preferred to ('' = there was none); None for that file itself."""
    number: int = 0
    """0 until it has proved itself."""
    saved_at: str = ""
    """UTC, as far as the machine knew it."""
    reached: bool = False
    """Its broker was reached when it proved itself, or later."""

    @property
    def hash(self) -> str:
        return digest(self.content)

    @property
    def file_hash(self) -> str:
        """Hash of the local file with which this is in force; '' = with none."""
        return self.hash if self.over is None else self.over


@dataclass(frozen=True, slots=True)
class Refusal:
    """A configuration that was tried and given up."""

    hash: str
    code: str
    reason: str
    told: bool = False
    """A daemon that lived has said so."""


@dataclass(frozen=True, slots=True)
class Record:
    """What must be known at the next start. A version that is put back reads it too, and forgets it all over an unknown key."""

    starts: int = 0
    """Starts in a row that nobody has seen survive."""
    boot: str = ""
    """Boot of the machine and program they were in: neither a power cut nor another version is a fault of the configuration."""
    trial: str = ""
    """Hash of the unproven configuration of the last start; '' = a proven one, or defaults."""
    file: str = ""
    """Hash of the local file in those starts; '' = none that could be read. Another one has not failed yet."""
    refused: tuple[Refusal, ...] = ()
    """The latest last; emptied when a configuration proves itself."""

    def failed(self, boot: str, file: str) -> int:
        """Starts in a row that failed in this boot, with this file."""
        return self.starts if (self.boot, self.file) == (boot, file) else 0

    def refusal(self, name: str) -> Refusal | None:
        """Why the configuration of this hash was given up."""
        return next((each for each in reversed(self.refused) if each.hash == name), None)

    def without(self, name: str) -> tuple[Refusal, ...]:
        """What else was given up."""
        return tuple(each for each in self.refused if each.hash != name)


class Generations:
    """The store of one configuration file. Reading never fails, writing raises OSError."""

    def __init__(self, state: Path, file: Path) -> None:
        """`state` is where this machine keeps things, `file` the configuration that this is the memory of."""
        self.file = file
        self.folder = state / "configurations" / digest(os.fsencode(file.absolute()))

    def kept(self) -> list[Generation]:
        """What has proved itself, newest first; damaged files are passed over."""
        found = (_read(self._generation(number)) for number in reversed(self._numbers()))
        return [each for each in found if each]

    def candidate(self) -> Generation | None:
        """What is to be tried at the next start, unless it has proved itself already."""
        staged, newest = _read(self._candidate), next(iter(self.kept()), None)
        if staged and newest and (newest.content, newest.over) == (staged.content, staged.over):
            return None  # the cut came between its promotion and its removal
        return staged

    def record(self) -> Record:
        """As noted last; a fresh one if there is none that can be read."""
        try:
            said = json.loads(self._record.read_bytes())
            return Record(**said | {"refused": tuple(Refusal(**each) for each in said["refused"])})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return Record()

    def stage(self, candidate: Generation) -> None:
        """Keeps it for the next start, even if the same has been refused before: it was asked for again."""
        record = self.record()
        self._note(replace(record, starts=0, refused=record.without(candidate.hash)))
        write_whole(self._candidate, _packed(candidate))

    def promote(self, proven: Generation, saved_at: str, reached: bool) -> Generation:
        """Keeps it as the newest generation; what stands in its way is over and done with, unless it was staged meanwhile."""
        number = max(self._numbers(), default=0) + 1
        kept = replace(proven, number=number, saved_at=saved_at, reached=reached)
        self.keep(kept)
        self._note(Record())
        staged = _read(self._candidate)
        if staged is None or staged.hash == kept.hash or staged.file_hash != kept.file_hash:
            self._candidate.unlink(missing_ok=True)
        for old in self._numbers()[:-KEPT]:
            self._generation(old).unlink(missing_ok=True)
        return kept

    def keep(self, proven: Generation) -> None:
        """Writes a generation under its number; what is known of it may have changed."""
        write_whole(self._generation(proven.number), _packed(proven))

    def refuse(self, refusal: Refusal) -> None:
        """Remembers what was given up. If it was staged, it is so no more."""
        record = self.record()
        self._note(replace(record, refused=(*record.without(refusal.hash), refusal)[-REFUSALS:]))
        staged = _read(self._candidate)
        if staged and staged.hash == refusal.hash:
            self._candidate.unlink()

    def retry(self) -> int:
        """Forgets all that was given up; returns how many that were."""
        record = self.record()
        if record.refused:
            self._note(replace(record, refused=()))
        return len(record.refused)

    def began(self, trial: str, boot: str, file: str = "") -> None:
        """A start begins: unless it is said to have survived, it has failed."""
        record = self.record()
        starts = record.failed(boot, file) + 1
        self._note(replace(record, starts=starts, boot=boot, trial=trial, file=file))

    def survived(self, *, surely: bool = False) -> None:
        """The start is through; what was given up before it has been told. `surely`: written even where it says nothing new."""
        record = self.record()
        through = replace(record, starts=0, refused=tuple(replace(each, told=True) for each in record.refused))
        if surely or through != record:
            self._note(through)

    def withdrew(self, *, anew: bool = False) -> None:
        """It was ended in order before it was through: neither good nor bad. `anew`: those before it are forgotten, too.

        Written in place and not flushed: a stop has no time to wait for a card, nor on a full disk the room for a new file, and
        after a power cut starts are counted anew.
        """
        record = self.record()
        if record.starts:
            content = _noted(replace(record, starts=0 if anew else record.starts - 1))
            handle = os.open(self._record, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(handle, content.ljust(os.fstat(handle).st_size))
            finally:
                os.close(handle)

    @property
    def _candidate(self) -> Path:
        return self.folder / "candidate.toml"

    @property
    def _record(self) -> Path:
        return self.folder / "record.json"

    def _generation(self, number: int) -> Path:
        return self.folder / f"generation-{number:06}.toml"

    def _numbers(self) -> list[int]:
        """Of all that are kept, rising; damaged ones included, so that no number is given twice."""
        try:
            names = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
            return sorted(int(name[1]) for name in names if name)
        except OSError:
            return []

    def _note(self, record: Record) -> None:
        write_whole(self._record, _noted(record))


def _noted(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode()


def _packed(generation: Generation) -> bytes:
    """One line of JSON as a comment, then the configuration as it came."""
    about = {name: value for name, value in asdict(generation).items() if name != "content"}
    line = json.dumps(about, sort_keys=True).encode()
    return _HEADER + digest(line + generation.content).encode() + b" " + line + b"\n" + generation.content


def _read(path: Path) -> Generation | None:
    """None if there is none, or not as it was written."""
    try:
        header, _, content = path.read_bytes().partition(b"\n")
        checksum, _, line = header.removeprefix(_HEADER).partition(b" ")
        if checksum.decode() != digest(line + content):
            return None
        return Generation(content, **json.loads(line))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
