"""`k1edge run`: the daemon.

Builds everything from the settings, follows the sound until stopped, tears down in mirror order.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from k1edge.audio import AudioError, StuckError
from k1edge.config import BUILT_IN, ConfigError, find
from k1edge.daemon.broker import NoBrokerError, broker_for
from k1edge.daemon.edge import BROKER_CLIENTS, Edge, subscriptions
from k1edge.daemon.loop import SWITCH_INTERVAL_S, Loop
from k1edge.daemon.sources import NAMED, SOURCES, Opened, opener
from k1edge.daemon.startup import Start, begin, counted
from k1edge.genesis.codec import read_json
from k1edge.genesis.dialects import read
from k1edge.genesis.faults import MapError
from k1edge.genesis.score import Score, score_of
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.k1.link import Identity, Link
from k1edge.programs.options import when_ended
from k1edge.system.memory import give_back_large_blocks
from k1edge.system.priority import LINK, LOOP, real_time, take
from k1edge.system.systemd import Notifier, fields, start_logging

LEAVE_S = 1.0
"""For the last words to reach the broker."""

log = logging.getLogger("k1edge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge run                               as the service does: the line input, the configured broker
  k1edge run --source song.wav             a file in place of the line, to see what it makes of it
  k1edge run --source demo --broker mqtt://127.0.0.1:1883
meanwhile, in other terminals, `k1edge monitor` shows what it publishes and `k1edge simulate` what a K1 makes of it

exit code: 0 stopped, or the file has ended; 66 the sound or the map cannot be read; 69 no broker is configured and its own
cannot start; 75 the sound library is stuck, which a restart mends; 78 the configuration has faults
(`k1edge check` explains them)"""
    parser.add_argument("--config", type=Path, metavar="FILE",
                        help="configuration (default: $K1EDGE_CONFIG, else /etc/k1edge/k1edge.toml, else built-in defaults)")
    parser.add_argument("--source", default="line", metavar="WHAT", help=SOURCES)
    parser.add_argument("--map", type=Path, nargs="?", const=Path(), metavar="FILE", dest="map",
                        help="let the stored map of the song lead: FILE, or the one beside the --source")
    parser.add_argument("--play", action="store_true", help="play the demo song aloud, if there is an output")
    parser.add_argument("--broker", metavar="URL", help="instead of the configured one, e.g. mqtt://127.0.0.1:1883")
    parser.add_argument("--site", metavar="NAME", help="instead of the configured site")


def main(args: argparse.Namespace) -> int:
    path = find(args.config)
    instead: dict[str, object] = {"site": args.site} if args.site else {}
    if args.broker:
        instead["mqtt"] = {"url": args.broker}
    try:
        start = begin(path, instead)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    start_logging(start.settings.log.level)
    _say(start, path)
    with counted(start):
        code, restart = _run(start, args)
    if restart:
        log.warning("starting anew %s", restart)
        logging.shutdown()
        # Not an exit for systemd to answer: no pause, no use of its limit of starts, and it works without systemd too.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return code


def _say(start: Start, path: Path | None) -> None:
    settings = start.settings
    log.info("k1edge %s at site %s, configuration: %s%s", settings.edge, settings.site, path or BUILT_IN,
             f" ({start.origin})" if path else "", extra=fields(config_hash=start.running.hash))
    for fault in start.faults:
        log.error("%s", fault)
    if start.refusal:
        log.log(logging.ERROR if start.code else logging.WARNING, "running %s: %s", start.origin, start.refusal.reason,
                extra=fields(code=start.refusal.code))
    if start.complaint:
        log.error("%s: a change can neither be trusted nor given back", start.complaint)


def stored_score(given: Path, source: str) -> Score:
    """The score of the map to play by: the one that was given, or the one beside the source. Raises AudioError."""
    if not given.name and source in NAMED:
        raise AudioError("--map", f"there is no map beside the {source}", "name its file: --map FILE")
    path = given if given.name else Path(f"{source}.genesis.json")
    try:
        return score_of(read(read_json(path.read_bytes())).song)
    except OSError as fault:
        raise AudioError(str(path), fault.strerror or "cannot be read", f"make it: k1edge analyze {source}") from None
    except MapError as fault:
        raise AudioError(str(path), str(fault), "k1edge map validate names every fault") from None


def _run(start: Start, args: argparse.Namespace) -> tuple[int, str]:
    """The exit code, and why to start anew."""
    try:
        notes = None if args.map is None else stored_score(args.map, args.source)
        restart = serve(start, opener(args.source, start.settings.audio, args.play), live=args.source == "line", score=notes)
    except StuckError as error:
        log.error("ending so that systemd starts afresh: %s", error, exc_info=error.before)
        return os.EX_TEMPFAIL, ""
    except AudioError as error:
        log.error("%s: %s; %s", error.device, error.reason, error.remedy)
        return os.EX_NOINPUT, ""
    except NoBrokerError as error:
        log.error("%s", error)
        return os.EX_UNAVAILABLE, ""
    return 0, restart


def serve(start: Start, open_source: Callable[[], Opened], *, live: bool, score: Score | None = None) -> str:
    """Builds the edge, follows the sound until stopped, says goodbye. Returns why to start anew, '' = stopped or at the end.

    A source that is not `live` ends the daemon when it ends or fails.
    """
    give_back_large_blocks()
    settings = start.settings
    notifier = Notifier()
    boot_id = uuid.uuid4().hex[:12]
    scribe = Scribe(settings.site, settings.edge)
    with broker_for(start) as (mqtt, upkeep):
        will = scribe.write(contract.Status, Stamp(0, False), state="lost", boot_id=boot_id)
        topics = subscriptions(settings.site, settings.edge)
        name = f"k1edge-{settings.site}.{settings.edge}"  # no id has a dot in it
        identity = Identity(name, topics, will, [BROKER_CLIENTS], contract.ConfigDesired.LIMIT_BYTES)
        link = Link(mqtt, identity, entered=lambda: take(LINK))
        link.start()
        edge = Edge(start, link, scribe, boot_id, score=score, live=live)
        loop = Loop(edge, open_source, notifier, upkeep)
        when_ended(loop.stop)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()  # 20 ms: now, and not between two hops
        try:
            with real_time(LOOP) as granted:
                log.info("the loop has %s priority", "real-time" if granted else "ordinary")
                (loop.follow_line if live else loop.follow)()
        except Exception as error:
            if not isinstance(error, AudioError) or error.before:
                with contextlib.suppress(OSError):
                    edge.blackbox.save(wait=True)  # what led to it, for `k1edge replay`; then the traceback and a new start
            raise
        finally:
            if loop.restart:
                notifier.starting_anew(loop.restart)
            else:
                notifier.stopping("releasing the K1s")
                log.info("stopping: releasing the K1s")
            link.close(edge.farewell(), LEAVE_S)
            notifier.close()
    return loop.restart
