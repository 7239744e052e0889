"""THE loop: audio in, light and telemetry out, until stopped. `k1edge run`.

Builds everything from the settings, follows the audio hop by hop, tears down in mirror order. Whatever the audio, the broker
or a stranger does, the loop goes on: audio that is lost gives the K1s back to their own microphones and is reopened with
back-off; the link has a thread of its own and never blocks; requests are answered between hops, a few at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from k1edge.audio import AudioError, StuckError
from k1edge.broker import NoBrokerError, broker_for
from k1edge.config import BUILT_IN, ConfigError, find
from k1edge.edge import BROKER_CLIENTS, Edge, subscriptions
from k1edge.frames import HOPS_PER_S
from k1edge.genesis.codec import read_json
from k1edge.genesis.dialects import read
from k1edge.genesis.faults import MapError
from k1edge.genesis.score import Score, score_of
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.k1.link import Identity, Link
from k1edge.options import when_ended
from k1edge.sources import SOURCES, Opened, opener
from k1edge.startup import Start, begin, counted
from k1edge.system.memory import give_back_large_blocks, stay_in_memory
from k1edge.system.priority import LINK, LOOP, real_time, take
from k1edge.system.systemd import Notifier, fields, start_logging
from k1edge.telemetry import rss_mb

BACKOFF_S = (0.5, 1.0, 2.0, 3.0)
"""Between attempts to open the audio; never so long that the light is not back within ten seconds of the plug. An attempt costs
50 ms of a machine that has nothing else to do."""
SWOLLEN_MB = 100.0
"""What a search for audio may cost: with some plug-ins ALSA keeps 13 kB of each attempt, and 250 where it cannot be started."""
STEADY_HOPS = 10 * HOPS_PER_S
"""Audio that flowed for so long was a success: the next loss starts the back-off anew."""
WAIT_STEP_S = 0.02
SWITCH_INTERVAL_S = 0.0005
"""How long another thread may keep the interpreter while a hop waits; the default, 5 ms, is half a hop."""
SETTLED_HOPS = 5 * HOPS_PER_S
LEAVE_S = 1.0
"""For the last words to reach the broker."""

log = logging.getLogger("k1edge")


class Daemon:
    """The loop, and what stops it."""

    def __init__(
        self, edge: Edge, open_source: Callable[[], Opened], notifier: Notifier, upkeep: Callable[[], object]
    ) -> None:
        self._edge = edge
        self._open = open_source
        self._notifier = notifier
        self._upkeep = upkeep
        self._stopping = self._told_to_stop = False
        self._ready = False
        self._next_sign_s = 0.0
        self._lean_mb = 0.0
        self._swollen = ""
        self._told: AudioError | None = None
        self._complaint = ""
        """The last reason there was no audio: said once, not at every attempt."""

    def stop(self, *_signal: object) -> None:
        """Ends the loop at the next hop; may be called from a signal handler."""
        self._stopping = self._told_to_stop = True

    @property
    def restart(self) -> str:
        """Why the process must start anew; '' when it need not, or was told to stop."""
        return "" if self._told_to_stop else self._edge.restart or self._swollen

    def follow_line(self) -> None:
        """Follows a live input for ever: what is lost is opened again. Raises StuckError."""
        failures = 0
        while not self._stopping:
            hops = self._edge.telemetry.hops
            try:
                self.follow()
            except StuckError as error:
                if error.before is None:
                    self._lost(error)
                raise
            except AudioError as error:
                if self._edge.telemetry.hops - hops > STEADY_HOPS:
                    failures = 0
                if error is not self._told:
                    self._lost(error)
                self._weigh(failures)
                self._rest(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    def follow(self) -> None:
        """Follows one source until it ends or the daemon is stopped. Raises AudioError."""
        source, name = self._open()
        try:
            self._edge.listen(source, name)
            locked = stay_in_memory()  # now that the sound library and the pipeline are there, and before the first hop
            self._complaint = ""
            log.info("listening to %s at %d Hz, memory %s", name, source.fmt.rate_hz, "locked" if locked else "not locked",
                     extra=fields(device=name))
            for block in source:
                if block is not None:
                    self._edge.hear(block)
                    self._settle()
                self._attend()
                if self._stopping:
                    return
        except AudioError as error:
            self._lost(error)  # the K1s first: closing a dead card takes its time, or never ends
            raise
        finally:
            source.close()

    def _settle(self) -> None:
        if not self._ready:
            self._say_ready()
        if self._edge.telemetry.hops == SETTLED_HOPS:
            gc.freeze()  # what was made at the start stays: the collector need not walk it again and again

    def _say_ready(self) -> None:
        self._ready = True
        self._notifier.ready(self._edge.headline)

    def _attend(self) -> None:
        """Everything that is not audio. Reached only by a loop that moves: this is what feeds the watchdog."""
        self._edge.attend()
        self._stopping = self._stopping or bool(self._edge.restart)
        now_s = time.monotonic()
        if now_s >= self._next_sign_s:
            self._next_sign_s = now_s + min(1.0, (self._notifier.watchdog_s or 2.0) / 2)
            self._upkeep()
            self._notifier.alive()
            self._notifier.status(self._edge.headline)

    def _lost(self, error: AudioError) -> None:
        self._told = error
        self._edge.lose_audio(error)
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("no audio from %s: %s; %s", error.device, error.reason, error.remedy,
                      extra=fields(device=error.device, reason=error.reason))
        if not self._ready:
            self._say_ready()  # the loop is alive and says what is missing; being killed for it would help nobody

    def _weigh(self, failures: int) -> None:
        """A search that has used up too much memory goes on in a new process."""
        if not failures:
            self._lean_mb = rss_mb() or 0.0
        elif (rss_mb() or 0.0) - self._lean_mb > SWOLLEN_MB:
            self._swollen = "because the search for audio has used up memory"
            self._stopping = True

    def _rest(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until_s:
            self._attend()
            time.sleep(WAIT_STEP_S)


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
        daemon = Daemon(edge, open_source, notifier, upkeep)
        when_ended(daemon.stop)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()  # 20 ms: now, and not between two hops
        try:
            with real_time(LOOP) as granted:
                log.info("the loop has %s priority", "real-time" if granted else "ordinary")
                (daemon.follow_line if live else daemon.follow)()
        except Exception as error:
            if not isinstance(error, AudioError) or error.before:
                with contextlib.suppress(OSError):
                    edge.blackbox.save(wait=True)  # what led to it, for `k1edge replay`; then the traceback and a new start
            raise
        finally:
            if daemon.restart:
                notifier.starting_anew(daemon.restart)
            else:
                notifier.stopping("releasing the K1s")
                log.info("stopping: releasing the K1s")
            link.close(edge.farewell(), LEAVE_S)
            notifier.close()
    return daemon.restart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares this program's arguments."""
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
    """0 when stopped or at the end of a file, 66 when a file cannot be read, 69 without a broker of our own, 75 with a
    sound library that is stuck, 78 when the configuration has faults and there is nothing to fall back upon but a person."""
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
    if code == os.EX_TEMPFAIL:
        logging.shutdown()
        os._exit(os.EX_TEMPFAIL)  # a tidy exit would wait for the same library
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
    if not given.name and source in ("line", "demo"):
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
