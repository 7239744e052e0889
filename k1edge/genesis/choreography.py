"""Which look the K1 is asked for, from the form.

Consumes `Form` and `BeatState`, emits `Look`, 100 a second; the same object as long as nothing changes, so that
whoever sends looks compares by identity. Scenes change on a bar line and as rarely as `scenes.py` says; silence fades
the brightness out and only then shows the idle look. What a look's parameters do in between is coalesced to one step
per STEP_S.

Cost: below 5 us a hop.
"""

from __future__ import annotations

from dataclasses import replace

from k1edge.config import GenesisSettings, LookSettings
from k1edge.device_facts import PARAMETERS
from k1edge.frames import BeatState, Look, StreamFormat
from k1edge.genesis.scenes import SceneBudget
from k1edge.genesis.structure import Form

STEP_S = 0.4
"""A K1 takes a parameter change each 300 ms; a fade of steps this long is still soft, since the device blends."""
IDLE = ("silence",)


def _look(name: str, settings: LookSettings) -> Look:
    return Look(
        name=name,
        pattern=settings.pattern,
        palette=settings.palette,
        parameters=tuple(sorted(dict(settings.parameters).items())),
        transition=settings.transition,
        transition_ms=settings.transition_ms,
    )


def _at_brightness(look: Look, share: float) -> Look:
    parameters = dict(look.parameters)
    parameters["brightness"] = round(parameters.get("brightness", PARAMETERS["brightness"].default) * share, 3)
    return replace(look, parameters=tuple(sorted(parameters.items())))


class Choreography:
    """Form in, look out; one per stream."""

    def __init__(self, looks: dict[str, LookSettings], fmt: StreamFormat, settings: GenesisSettings) -> None:
        self._looks = {name: _look(name, each) for name, each in looks.items()}
        self._budget = SceneBudget(fmt)
        self._fade = max(fmt.index(settings.fade_s), 1)
        self._step = fmt.index(STEP_S)
        self._scene = self._looks.get("silence") or next(iter(self._looks.values()))
        self._shown = self._scene
        self._silent_since: int | None = 0
        self._dark = True
        self._stepped = 0

    def process(self, form: Form, beat: BeatState) -> Look:
        """The look wanted after one hop."""
        if form.section.label in IDLE:
            self._go_dark(form, beat.end)
        else:
            self._light(form, beat.end)
        return self._shown

    def _go_dark(self, form: Form, end: int) -> None:
        if self._dark or end - self._stepped < self._step:
            return
        if self._silent_since is None:
            self._silent_since = end
        share = 1 - (end - self._silent_since) / self._fade
        if share <= 0:
            self._dark, self._stepped = True, end
            self._scene = self._looks.get("silence", self._scene)
            self._shown = self._scene if "silence" in self._looks else _at_brightness(self._scene, 0.0)
        else:
            self._stepped = end
            self._shown = _at_brightness(self._scene, share)

    def _light(self, form: Form, end: int) -> None:
        label = form.section.label
        wanted = self._looks.get(label) or self._looks.get("unknown", self._scene)
        if end - self._stepped < self._step:
            return
        on_bar = form.beat is not None and form.beat.downbeat
        if wanted.name != self._scene.name and on_bar and (self._dark or self._budget.allows(end, label)):
            self._budget.spend(end)
            self._scene = self._shown = wanted
        elif self._silent_since is not None and not self._dark:
            self._shown = self._scene
        else:
            return
        self._silent_since, self._dark, self._stepped = None, False, end
