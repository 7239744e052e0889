"""Which configuration to start with, and why.

Consumes the local file, the store of generations and what became of the last starts; emits a `Start`. The order: what was
staged after the file was last edited, the file, what has proved itself (newest first), safe defaults. A file that cannot be
used never means a dark venue; only a person who runs it by hand, with nothing to fall back upon, is told the faults instead.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from k1edge.config import ConfigError, Settings, load
from k1edge.daemon.configuration import file_now, hash_of, identity, loaded, name_of, origin_of, without
from k1edge.live.health_gate import Judged, judged
from k1edge.system.generations import Generation, Generations, Record, Refusal, machine_boot, running_program
from k1edge.system.state import state_folder

FAILED_STARTS = 2
"""In a row, then safe mode."""

INVALID, ROLLED_BACK, SAFE_MODE = "CONFIG_INVALID", "CONFIG_ROLLED_BACK", "SAFE_MODE"
NOTHING = Generation(b"")


@dataclass(frozen=True, slots=True)
class Start:
    """What to run with, and what is to be told about it."""

    settings: Settings
    running: Generation = NOTHING
    origin: str = "defaults"
    """As `config/reported` has it."""
    code: str = ""
    """Why the edge is degraded; '' = it runs what it is meant to."""
    refusal: Refusal | None = None
    """What was wanted last and is not running."""
    died: Refusal | None = None
    """A trial that ended the daemon, and that nobody has noted yet."""
    faults: tuple[str, ...] = ()
    parts: Judged | None = None
    """What the health gate looks at; None = it has proved itself."""
    next_number: int = 0
    local: Generation | None = None
    """The file, if it could be read."""
    accepts: bool = False
    """A configuration may come over MQTT."""
    store: Generations | None = None
    """None: there is no file, so that nothing can change."""
    complaint: str = ""
    """Why the store cannot be written; '' while it can."""

    @property
    def on_trial(self) -> bool:
        return self.parts is not None

    @property
    def generation(self) -> int:
        """The number that is told: a configuration on trial has the one that it will get."""
        return self.next_number if self.on_trial else self.running.number

    @property
    def broker_known(self) -> bool:
        """Not where defaults stand in for a file with faults: that it names none may be one of them."""
        return self.origin != "defaults" or not self.faults


@dataclass(frozen=True, slots=True)
class Past:
    """What is known from before, as one picture."""

    kept: tuple[Generation, ...] = ()
    candidate: Generation | None = None
    record: Record = field(default_factory=Record)

    @classmethod
    def of(cls, store: Generations) -> Past:
        return cls(tuple(store.kept()), store.candidate(), store.record())

    def after(self, refusal: Refusal) -> Past:
        """The same, and one more was given up."""
        return replace(self, record=replace(self.record, refused=(*self.record.refused, refusal)))


def begin(path: Path | None, instead: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Start:
    """Decides, and notes that a start has begun. Raises ConfigError where a person should mend something first."""
    by_hand = "NOTIFY_SOCKET" not in environ
    if path is None or by_hand:
        defaults = load(None, environ, instead)  # a fault of the command line is told before anything is tried
    if path is None:
        return Start(defaults)
    store = Generations(state_folder(environ), path)
    past, boot = Past.of(store), f"{machine_boot()} {running_program()}"
    if by_hand and not past.kept and past.candidate is None:
        load(path, environ, instead)
    local, faults = file_now(path)
    choice = Choice(past, local, lambda one, **how: loaded(one, name_of(one, path), environ, instead, **how))
    start = replace(choice.made(boot, faults), store=store, accepts=_accepts(path, local, environ))
    return _noted(start, boot)


def wished(local: Generation | None, past: Past) -> Generation | None:
    """What is meant to run: whichever of the staged, the proven and the file was asked for last; None if there is none."""
    file_hash = hash_of(local)
    staged = past.candidate
    if staged and staged.file_hash == file_hash and not past.record.refusal(staged.hash):
        return staged
    newest = next(iter(past.kept), None)
    return newest if newest and newest.file_hash == file_hash else local


@dataclass(frozen=True, slots=True)
class Choice:
    """How a start is chosen. Writes nothing."""

    past: Past
    local: Generation | None
    loader: Callable[..., Settings]
    """Of a generation; `password=False`: without one. Raises ConfigError."""

    def made(self, boot: str, unreadable: tuple[str, ...] = ()) -> Start:
        """The start; `unreadable`: the faults for which there is no `local`."""
        record = self.past.record
        failed = record.failed(boot, hash_of(self.local))
        if failed >= FAILED_STARTS:
            why = Refusal("", SAFE_MODE, f"{failed} starts in a row failed; a restart tries again")
            return self.defaults(why, unreadable or self._faults())
        wish = wished(self.local, self.past)
        if wish is None:
            return self.fallback(Refusal("", INVALID, "; ".join(unreadable)), unreadable)
        died_trying = failed and not wish.number and record.trial == wish.hash and not record.refusal(wish.hash)
        if died_trying and self.past.kept:
            died = Refusal(wish.hash, ROLLED_BACK, "the daemon died before this configuration had proved itself")
            return replace(replace(self, past=self.past.after(died)).made(boot, unreadable), died=died)
        return self._tried(wish)

    def _faults(self) -> tuple[str, ...]:
        """Of the file."""
        try:
            self.loader(self.local)
        except ConfigError as error:
            return error.told
        return ()

    def _tried(self, wish: Generation) -> Start:
        """What ran before, or has yet to prove itself; of what was refused, what is still worth telling."""
        refusal = self.past.record.refusal(wish.hash)
        if refusal and not wish.number:
            return self.fallback(refusal)
        try:
            settings = self.loader(wish)
        except ConfigError as error:
            return self.fallback(Refusal(wish.hash, INVALID, error.in_short), error.told)
        refused = reversed(self.past.record.refused)
        if wish.number:
            return self._start(settings, wish, origin_of(wish), refusal=next(refused, None))
        untold = next((each for each in refused if not each.told), None)
        return self._start(settings, wish, origin_of(wish), parts=self._judged(settings), refusal=untold)

    def fallback(self, refusal: Refusal, faults: tuple[str, ...] = ()) -> Start:
        """The newest of what has proved itself that can be loaded, if need be without its password, else defaults."""
        for password, generation in itertools.product((True, False), self.past.kept):
            with contextlib.suppress(ConfigError):
                return self._start(self.loader(generation, password=password), generation, "last-known-good",
                                   code=refusal.code, refusal=refusal, faults=faults)
        return self.defaults(refusal, faults)

    def defaults(self, refusal: Refusal, faults: tuple[str, ...] = ()) -> Start:
        """Safe defaults under the old name, at the old broker, where these can be made out."""
        told = {"code": refusal.code, "refusal": refusal, "faults": faults}
        for known in (*self.past.kept, self.local or NOTHING, NOTHING):
            with contextlib.suppress(ConfigError):
                return self._start(self._known(identity(known), known.folder), NOTHING, "defaults", **told)
        return self._start(Settings(), NOTHING, "defaults", **told)

    def _known(self, who: dict[str, Any], folder: str) -> Settings:
        """Defaults for the edge that this is, leaving out what is at fault of it. Raises ConfigError."""
        edge = Generation(b"", folder=folder, fixed=who)
        try:
            return self.loader(edge)
        except ConfigError as error:
            less = without(who, {fault.key for fault in error.faults})
            if less == who:  # what is at fault is not there: the password, or a key
                with contextlib.suppress(ConfigError):
                    return self.loader(edge, password=False)
                less.pop("mqtt", None)
            if less == who:
                raise
        return self._known(less, folder)

    def _judged(self, settings: Settings) -> Judged:
        for proven in self.past.kept:
            with contextlib.suppress(ConfigError):
                return judged(settings, self.loader(proven), proven.reached)
        return Judged()

    def _start(self, settings: Settings, running: Generation, origin: str, **more: Any) -> Start:
        number = self.past.kept[0].number + 1 if self.past.kept else 1
        return Start(settings, running, origin, next_number=number, local=self.local, **more)


def _accepts(path: Path, local: Generation | None, environ: Mapping[str, str]) -> bool:
    """Only a local file without a fault can say so."""
    try:
        return local is not None and loaded(local, str(path), environ, {}).mqtt.accept_config
    except ConfigError:
        return False


def _noted(start: Start, boot: str) -> Start:
    """Remembers a trial that died, and that a start has begun."""
    try:
        if start.died:
            start.store.refuse(start.died)
        start.store.began(start.running.hash if start.on_trial else "", boot, hash_of(start.local))
    except OSError as error:
        return replace(start, complaint=f"{start.store.folder} cannot be written: {error.strerror or error}")
    return start


@contextlib.contextmanager
def counted(start: Start) -> Iterator[None]:
    """Counts a start that was ended in order as neither good nor bad; one that dies by a fault stays counted as failed."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        _withdraw(start)
        raise
    _withdraw(start)


def _withdraw(start: Start) -> None:
    if start.store and not start.complaint:
        with contextlib.suppress(OSError):
            start.store.withdrew(anew=start.code == SAFE_MODE)
