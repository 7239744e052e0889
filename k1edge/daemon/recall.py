"""Asks the library which song plays, so that the map of one that was heard before leads before it is over.

Consumes the song that is being caught and the frames of a stream; emits questions, the envelopes of the last ten seconds, and
of an answer what is to be done. It is asked seldom, and more seldom the longer nobody knows the song; while a map leads, where
its song has come to, and whether that still plays: a DJ goes on to another in the middle, on the beat. A map that a person has
deployed is moved by it, never stopped. Cost: .15 ms once a second, .7 where it asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from k1edge.analysis.levels import ENVELOPE_HOPS, FULL_SCALE_PERCENTILE, measure
from k1edge.analysis.recording import Keeper, Recording
from k1edge.frames import HOPS_PER_S, GenesisFrame
from k1edge.genesis.playback import MapPlayer
from k1edge.pipeline import Act, Pipeline

WINDOW_HOPS, MEASURED_HOPS = 10 * HOPS_PER_S, HOPS_PER_S
"""What a question is about, and so much of it is measured at once: all of it would take a hop too long."""
PAUSE_HOPS, GROWTH = 3 * HOPS_PER_S, 1.2
"""From one question to the next, and how much longer than the last time a song has played before it is asked about again."""
SURE, STILL, DOUBTS = 0.7, 0.5, 2
"""Correlation with the song that is thought to play from which it does, below which it is doubted, and how often before it is
given up: another song at that place in it has about 0."""


class Recall:
    """Of one line, song after song."""

    def __init__(self, *, asks: bool = True) -> None:
        """Without `asks` there are no questions."""
        self._asks = asks
        self._song: Keeper | None = None
        self._asked: tuple[Keeper | None, MapPlayer | None] = None, None
        """The song of the last question, and what led: an answer may come when others do."""
        self._player: MapPlayer | None = None
        """Of the map that was recalled last."""
        self._doubts = 0
        """How often in a row it was unlike."""
        self._since = self._due = 0
        """Hops of the song from which on it is looked for, and after which it is asked about."""
        self._loudest, self._levels, self._measured = np.zeros(3), np.zeros((0, 3)), 0
        """Of the bands of the song: the most there was; of the last ten seconds; and up to which hop."""

    def ask(self, song: Keeper | None, frame: GenesisFrame, pipeline: Pipeline, standing: str | None) -> dict[str, Any] | None:
        """What is to be asked after this hop of a pipeline, if anything. `standing`: see `Deployment`. Nothing about a song
        whose map was recalled, and has been given up."""
        player = self._player
        if song is not self._song:
            if player is not None and player.state != "leading":  # a song may pause for long enough to be caught as two
                self._player = None
            self._song, self._since, self._due = song, 0, WINDOW_HOPS
            self._loudest, self._levels, self._measured = np.zeros(3), np.zeros((0, 3)), 0
        elif player is not None and (player.state == "over" or player is not pipeline.player):  # or another was deployed
            self._look_from(len(song) if song else 0)
        if not self._asks or song is None or not self._measure(song):
            return None
        may_ask = standing or (standing is None and self._player is None)
        if not may_ask or len(song) < self._due or not frame.beat.lock:
            return None
        self._asked = song, pipeline.player
        self._due = len(song) + max(PAUSE_HOPS, 0 if standing else round((GROWTH - 1) * (len(song) - self._since)))
        self._loudest = np.maximum(self._loudest, np.percentile(self._levels, FULL_SCALE_PERCENTILE, axis=0))
        shares = np.clip(self._levels / np.maximum(self._loudest, 1e-12), 0.0, 1.0)
        shares = shares.reshape(-1, ENVELOPE_HOPS, shares.shape[1]).max(axis=1)
        fmt = pipeline.fmt
        began_s = fmt.seconds(frame.end - WINDOW_HOPS * fmt.hop)
        question = {"levels": (1000 * shares).astype(int).tolist(), "began_s": began_s}
        if not standing:
            return question | {"bpm": frame.beat.tempo_bpm}
        played = pipeline.player.alignment
        return question | {"track": standing, "start_s": fmt.seconds(played.start), "speed": played.speed}

    def _measure(self, song: Keeper) -> bool:
        """Another second of it, where there is one; whether there was."""
        news = len(song) - self._measured
        if news < MEASURED_HOPS:
            return False
        self._measured = len(song)
        amplitudes = np.sqrt(measure(Recording(song.last(min(news, WINDOW_HOPS)), 0.0)).powers)
        self._levels = np.concatenate([self._levels, amplitudes])[-WINDOW_HOPS:]
        return True

    def concludes(self, found: dict[str, Any], song: Keeper | None, player: MapPlayer | None) -> Act | None:
        """Of an answer, while this song plays and this is led by, what is to be done: `lead` by what was found, `confirm`
        or `stop` what leads."""
        asked_of, led_by = self._asked
        if song is None or song is not asked_of or player is not led_by:
            return None
        if "still" not in found:
            return ("lead",) if found and self._player is None else None
        self._doubts = self._doubts + 1 if found["still"] < STILL else 0
        if found["still"] >= SURE:
            return ("confirm", found["ahead_s"])
        if player is not self._player or self._doubts < DOUBTS:
            return None
        self._look_from(len(song))
        return ("stop",)

    def leads(self, player: MapPlayer) -> None:
        """What was found leads by this from now on."""
        self._player, self._doubts = player, 0

    def _look_from(self, hops: int) -> None:
        """For a song that begins about here."""
        self._player = None
        self._since, self._due = hops, hops + WINDOW_HOPS
