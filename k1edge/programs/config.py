"""`k1edge config`: the configurations that did well on this machine - shown, compared, and gone back to.

Consumes the store of generations and the local file; emits text. Nothing changes while the daemon runs: what is staged here is
tried at its next start, as any change is.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from dataclasses import replace
from pathlib import Path

from k1edge.config import SYSTEM_FILE, ConfigError, find
from k1edge.daemon.configuration import loaded, local_file, name_of
from k1edge.daemon.startup import Past, wished
from k1edge.programs.options import fail
from k1edge.system.generations import Generation, Generations
from k1edge.system.state import INSTALLED, state_folder

FILE, STAGED = "file", "staged"
ONE = f"the number of a generation, {FILE!r} or {STAGED!r}"

DIFFERENT = 1


class NothingError(Exception):
    """What was asked for is not there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge config history                         what did well here, and what the next start will run
  k1edge config diff                            the file against what did well last
  k1edge config rollback --to 2

exit code: 0 done, 1 what was compared differs, 66 it is not there, 73 it cannot be written, 77 it may not be read,
78 it has faults"""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show = _verb(verbs, "show", "print what did well last, or another generation")
    show.add_argument("which", nargs="?", metavar="N", help=f"{ONE} (default: the newest)")
    diff = _verb(verbs, "diff", "compare the local file with what did well last (exit code 1 = they differ)")
    diff.add_argument("old", nargs="?", metavar="N", help=f"{ONE} (default: the newest)")
    diff.add_argument("new", nargs="?", metavar="N", default=FILE, help="the same (default: the file)")
    _verb(verbs, "history", "list the generations, and what the next start will run")
    back = _verb(verbs, "rollback",
                 "stage an older generation: from the next start on it goes before the file, until that is edited")
    back.add_argument("--to", metavar="N", help="this generation (default: the one before the newest)")
    _verb(verbs, "retry", "forget that a configuration was given up, so that the next start tries it again")


def _verb(verbs: argparse._SubParsersAction, name: str, purpose: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    verb.add_argument("--config", type=Path, metavar="FILE", help="whose generations (default: as for `k1edge run`)")
    verb.add_argument("--state", type=Path, metavar="FOLDER", help="where they are kept (default: as the service, or the user)")
    return verb


def main(args: argparse.Namespace) -> int:
    archive = Archive(find(args.config) or SYSTEM_FILE, args.state)
    if archive.denied:
        return fail("config", f"{archive.store.folder} may not be read by this user; try it with sudo", os.EX_NOPERM)
    try:
        return VERBS[args.verb](archive, args)
    except NothingError as error:
        return fail("config", error, os.EX_NOINPUT)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    except OSError as error:
        return fail("config", f"{archive.store.folder} cannot be written: {error.strerror}; try it with sudo", os.EX_CANTCREAT)


class Archive:
    """The file, its generations, and what is known about them."""

    def __init__(self, path: Path, state: Path | None) -> None:
        served = path == SYSTEM_FILE and "STATE_DIRECTORY" not in os.environ
        self.path = path
        self.store = Generations(state or (INSTALLED if served else state_folder()), path)
        self.past = Past.of(self.store)
        try:
            self.local: Generation | None = local_file(path)
            self.fault = ""
        except ConfigError as error:
            self.local, self.fault = None, str(error)

    @property
    def denied(self) -> bool:
        """What is kept is not for this user to see, and would look like nothing."""
        try:
            next(self.store.folder.iterdir(), None)
        except OSError as error:
            return isinstance(error, PermissionError)
        return False

    def find(self, which: str) -> Generation:
        """A generation by its number, the file or what is staged. Raises NothingError."""
        named = {str(each.number): each for each in self.past.kept} | {FILE: self.local, STAGED: self.past.candidate}
        found = named.get(which)
        if found is None:
            known = ", ".join(str(each.number) for each in self.past.kept) or "none"
            reason = self.fault if which == FILE else f"there is no {which!r}; generations kept: {known}"
            raise NothingError(f"{reason} (in {self.store.folder})")
        return found

    def newest(self, back: int = 0) -> str:
        """The number of the newest generation, or of one so many before it. Raises NothingError."""
        if len(self.past.kept) > back:
            return str(self.past.kept[back].number)
        missing = "there is no generation before the newest" if self.past.kept else "nothing has proved itself yet"
        raise NothingError(f"{missing} (in {self.store.folder})")

    def name(self, generation: Generation) -> str:
        return name_of(generation, self.path)


def show(archive: Archive, args: argparse.Namespace) -> int:
    generation = archive.find(args.which or archive.newest())
    print(f"{archive.name(generation)}, {generation.origin}, {generation.saved_at or 'not proven'}, {generation.hash}",
          file=sys.stderr)
    if generation.fixed:
        print(f"in place of its own: {', '.join(generation.fixed)} of the local file", file=sys.stderr)
    sys.stdout.write(_text(generation))
    return 0


def diff(archive: Archive, args: argparse.Namespace) -> int:
    old, new = archive.find(args.old or archive.newest()), archive.find(args.new)
    lines = list(difflib.unified_diff(_text(old).splitlines(), _text(new).splitlines(), archive.name(old), archive.name(new),
                                      lineterm=""))
    print("\n".join(lines) if lines else "no difference")
    return DIFFERENT if lines else 0


def history(archive: Archive, _args: argparse.Namespace) -> int:
    past, wish = archive.past, wished(archive.local, archive.past)
    for each in past.kept:
        print(f"{'*' if each is wish else ' '} {each.number:5}  {each.saved_at}  {each.origin:8}  {each.hash}")
    if past.candidate is not None:
        print(f"{'*' if past.candidate is wish else ' '} staged  {past.candidate.origin}  {past.candidate.hash}")
    print(f"{'*' if archive.local is wish else ' '} file    {archive.local.hash if archive.local else archive.fault}")
    for refusal in past.record.refused:
        print(f"  given up  {refusal.hash}  {refusal.reason}")
    print("* is what the next start will run, if it can", file=sys.stderr)
    return 0


def rollback(archive: Archive, args: argparse.Namespace) -> int:
    old = archive.find(args.to or archive.newest(back=1))
    loaded(old, archive.name(old), os.environ, {})
    archive.store.stage(replace(old, origin="rollback", over=archive.local.hash if archive.local else "", number=0))
    print(f"{archive.name(old)} is staged: restart k1edge to run it (systemctl restart k1edge). It then goes before "
          f"{archive.path} until that file is edited.")
    return 0


def retry(archive: Archive, _args: argparse.Namespace) -> int:
    count = archive.store.retry()
    the_file = archive.local is not None and archive.past.record.refusal(archive.local.hash)
    again = f"restart k1edge to try {archive.path} again" if the_file else "what is not the file is not kept: ask for it again"
    print(f"{count} forgotten: {again}" if count else "nothing was given up")
    return 0


VERBS = {"show": show, "diff": diff, "history": history, "rollback": rollback, "retry": retry}


def _text(generation: Generation) -> str:
    return generation.content.decode(errors="replace").removeprefix("\ufeff")
