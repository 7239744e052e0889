"""THE loop: audio in, light and telemetry out, until stopped.

Follows the audio hop by hop. Whatever the audio, the broker or a stranger does, the loop goes on: audio that is lost gives
the K1s back to their own microphones and is reopened with back-off; the link has a thread of its own and never blocks;
requests are answered between hops, a few at a time.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable

from k1edge.audio import AudioError, StuckError
from k1edge.daemon.edge import Edge
from k1edge.daemon.sources import Opened
from k1edge.frames import HOPS_PER_S
from k1edge.system.machine import rss_mb
from k1edge.system.memory import stay_in_memory
from k1edge.system.systemd import Notifier, fields

BACKOFF_S = (0.5, 1.0, 2.0, 3.0)
"""Between attempts to open the audio: the light is back within ten seconds of the plug, and an attempt costs only 50 ms."""
SWOLLEN_MB = 100.0
"""What looking for audio may cost: with some plug-ins ALSA keeps 13 kB of each attempt, and 250 where it cannot be started."""
STEADY_HOPS = 10 * HOPS_PER_S
"""Audio that flowed for so long was a success: the next loss starts the back-off anew."""
SWITCH_INTERVAL_S = 0.0005
"""How long another thread may keep the interpreter while a hop waits; the default, 5 ms, is half a hop."""
WAIT_STEP_S = 0.02
SETTLED_HOPS = 5 * HOPS_PER_S

log = logging.getLogger("k1edge")


class Loop:
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
        """What this process took, but for the recording, at the first loss of audio, then at the first after it had flowed."""
        self._flowed = False
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
                flowed = self._edge.telemetry.hops - hops > STEADY_HOPS
                if flowed:
                    failures = 0
                if error is not self._told:
                    self._lost(error)
                self._weigh(flowed)
                self._rest(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1

    def follow(self) -> None:
        """Follows one source until it ends or the loop is stopped. Raises AudioError."""
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

    def _weigh(self, flowed: bool) -> None:
        """A search that has used up too much memory goes on in a new process; so do many short ones, as of a loose plug."""
        used_mb = (rss_mb() or 0.0) - self._edge.blackbox.nbytes / 1e6  # an hour of recording grows to 170 MB, and is meant to
        if not self._lean_mb or (flowed and not self._flowed):
            self._lean_mb, self._flowed = used_mb, flowed
        elif used_mb - self._lean_mb > SWOLLEN_MB:
            self._swollen = "because the search for audio has used up memory"
            self._stopping = True

    def _rest(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until_s:
            self._attend()
            time.sleep(WAIT_STEP_S)
