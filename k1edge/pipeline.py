"""One block of audio in, everything known about the music out. No I/O and no clock: the only place that knows the stage order.

Consumes `AudioBlock`, emits `GenesisFrame`, 100 a second. Live audio, a paced file and a fast file give identical frames for
identical samples. There is no reset: a new track, or a hole in the audio of over a second, gets a new Pipeline, to which the
tempo prior may be handed over. What is done to the beat or to the map between two hops goes through `act`, and is noted.
"""

from __future__ import annotations

from dataclasses import replace

from k1edge.beat.prior import TempoPrior
from k1edge.beat.tracker import make_tracker
from k1edge.config import Settings
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import AudioBlock, FeatureFrame, GenesisFrame, StreamFormat
from k1edge.genesis.choreography import Choreography
from k1edge.genesis.playback import MapPlayer
from k1edge.genesis.structure import Structure
from k1edge.genesis.tally import Tally

CORRECTIONS = frozenset({"double", "halve", "nudge", "this_is_one", "tap"})
OCTAVES = {"double": 1, "halve": -1}
TO_THE_MAP = frozenset({"begin_at", "confirm", "stop"})
MOST_ACTS = 100
"""Noted at a time: more come only where no hop does, and a new pipeline follows."""

Act = tuple[str, *tuple[float | MapPlayer, ...]]
"""What was done, and with what: `("nudge", 20.0)`."""


class Pipeline:
    """Features -> beat -> structure -> choreography, for one stream."""

    def __init__(
        self, settings: Settings, fmt: StreamFormat, prior: TempoPrior | None = None, beats_before: int = 0,
        *, player: MapPlayer | None = None,
    ) -> None:
        """`beats_before`: the last number that was given out, when this pipeline takes over from another.

        `player`: a stored map of what is about to be heard; it leads as long as the live beats agree.
        """
        self.fmt = fmt
        self.acts: tuple[Act, ...] = ()
        """Since the last hop."""
        self._features = FeatureExtractor(fmt, settings.audio.gate_dbfs)
        self.tracker = make_tracker(settings.beat, fmt, prior)
        self._structure = Structure(settings.genesis, fmt)
        self.player = player
        self._tally = Tally(fmt, beats_before)
        self._choreography = Choreography(settings.looks, fmt, settings.genesis, settings.rules)

    def __getstate__(self) -> dict[str, object]:
        """What decides: a copy goes on from features (`decide`), and hears no audio itself."""
        return vars(self) | {"_features": None, "acts": ()}

    @property
    def leader(self) -> MapPlayer | None:
        """The stored map whose beats are announced; None = the live engine's are."""
        return self.player if self.player is not None and self.player.leads else None

    def act(self, verb: str, *args: float | MapPlayer) -> bool:
        """Does a verb of `BeatTracker` or `MapPlayer`, or `deploy` with the player that is to lead from now on. Returns whether
        there was anything to act on. Raises ValueError for other verbs."""
        self.acts = (*self.acts, (verb, *args))[-MOST_ACTS:]
        if verb in CORRECTIONS:
            return self._correct(verb, *args)
        if verb == "release":
            self.tracker.release()
            return True
        if verb in TO_THE_MAP:
            return self.player is not None and bool(getattr(self.player, verb)(*args))
        if verb != "deploy":
            raise ValueError(f"{verb!r} is nothing that is done to a pipeline")
        (self.player,) = args
        return True

    def _correct(self, verb: str, *args: float) -> bool:
        """A person goes before a file: a map that leads is moved by a nudge, and stopped by all else, or what was put right
        would not be seen; but not where the live engine has no lock and so could not take over. The live engine may count the
        level that is asked for already."""
        player = self.leader
        counted = player is not None and verb in OCTAVES and round(player.alignment.live_octaves) == OCTAVES[verb]
        done = counted or bool(getattr(self.tracker, verb)(*args))
        if player is not None and done and verb == "nudge":
            player.nudge(*args)
        elif player is not None and done and player.alignment.live_locks:
            player.stop()
        return done

    def process(self, block: AudioBlock) -> GenesisFrame:
        """Block of `hop` samples -> frame; a jump of `block.start` is coasted over."""
        return self.decide(block, self._features.process(block))

    def decide(self, block: AudioBlock, features: FeatureFrame) -> GenesisFrame:
        """The same from features that are known already: how a recording is replayed. `block` may be silence then."""
        self.acts = ()
        beat = live = self.tracker.process(block, features)
        if self.player is not None:
            self.player.hear(features)
            beat = self.player.beat(live)
        beat = self._tally.beat(beat, None if beat is live else self.player)
        form = found = self._structure.process(features, beat, live)
        if form.given_up:
            self.tracker.give_up()
        if self.player is not None:
            form = self.player.form(found, features.end)
        form = self._tally.form(form, None if form is found else self.player)
        if beat.lock and self.leader is None and (form.quiet or form.given_up):
            beat = replace(beat, confidence=0.0, lock=False, announced=None)  # nobody is told of a beat where there is no music
        look = self._choreography.process(form, beat)
        return GenesisFrame(
            features, beat, form.macros, form.section, form.moments, look,
            wire=form.wire.state, wire_confidence=form.wire.confidence,
            key=form.mood.key, valence=form.mood.valence, arousal=form.mood.arousal,
            bars=form.bars, bars_left=form.bars_left, bars_left_probability=form.bars_left_probability,
        )  # fmt: skip
