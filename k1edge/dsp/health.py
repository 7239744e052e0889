"""What is wrong with the line: clipping, a level too low, DC, mains hum, channels dead or opposite, lost samples, no signal.

Consumes `AudioBlock`s, emits the alarms that stand, each with what to do about it. Judged once a second over the second that
has passed; an alarm stands when it was found `PATIENCE` times in a row and falls when it was not for as long, so that one
loud note is no alarm. Cost: 8 us a hop, and 1.5 ms once in HUM_EVERY_S.
"""

from __future__ import annotations

import math
from collections import Counter, deque

import numpy as np

from k1edge.dsp.features import level_of
from k1edge.frames import FULL_SCALE, HOPS_PER_S, Alarm, AudioBlock, Channel, StreamFormat

CLIPPED_PER_S = 20
"""Samples at full scale, on the worst channel: mastered music touches it now and then, an overdriven input lives there."""
LOW_DBFS = -42.0
"""Of the loudest second with sound in it: the features still work 20 dB below, but the line's own noise is then near."""
LOW_OF_S, LOW_HEARD_S, HEARD_HOPS = 30, 10, 10
"""A level is judged by the last LOW_OF_S seconds, if LOW_HEARD_S of them had sound in more than HEARD_HOPS hops, more than a
crackle. Music about the gate is silent half of the time; hum and hiss in a pause are no music, as the features tell."""
DC_SHARE = 0.01
"""Mean of a second: 1 % of full scale is ten times what a healthy input has."""
HUM_SHARE = 0.6
"""Of all power within HUM_WIDTH_HZ of a multiple of the mains frequency: no music sits there alone."""
HUM_MULTIPLES = 6
HUM_WIDTH_HZ = 1.5
HUM_EVERY_S = 4
HUM_FLOOR_DBFS = -75.0
DEAD_SHARE, ALIVE_PEAK = 0.002, 0.01
"""A channel 54 dB below its neighbour, while that one is heard: no mix is so lopsided for long."""
CANCELLED_SHARE = 0.05
"""What a mix of two opposites may leave of the weaker one: -26 dB, as cheap balanced outputs are not quite equal."""
DRIFT_PPM = 500.0
"""Between the card's clock and ours: crystals are within 100."""
PATIENCE = {"CLIPPING": 3, "LEVEL_LOW": 1, "DC_OFFSET": 5, "MAINS_HUM": 2, "NO_SIGNAL": 10, "CHANNEL_DEAD": 20,
            "CHANNELS_CANCEL": 10, "SAMPLES_LOST": 1, "HELD_UP": 1, "CARD_CLOCK": 600}  # fmt: skip
"""Seconds (hum: looks) in a row. Between songs a line may rest for ten seconds; a dead one rests for ever. Our own clock, when
the network puts it right by a third of a second, makes a good card look bad for six minutes."""
CALM = PATIENCE | {"LEVEL_LOW": 60, "SAMPLES_LOST": 60, "HELD_UP": 60, "CARD_CLOCK": 60}
"""Seconds without, until an alarm falls: what loses samples once a minute is not mended, nor a level by one loud note."""

REMEDIES = {
    "CHANNELS_CANCEL": ("left and right cancel each other out",
                        "set [audio] channel = 1, or use an unbalanced cable"),
    "CLIPPING": ("the input is overdriven", "turn the source or the input gain down until peaks stay below -6 dBFS"),
    "NO_SIGNAL": ("the line is digitally silent",
                  "check that the cable is in, the source's output on, and the card's capture not muted (`alsamixer`, F4)"),
    "DC_OFFSET": ("the input has a constant offset", "check the interface, or use another input"),
    "MAINS_HUM": ("the line carries mains hum", "check the ground: an isolating transformer, or one power strip for all"),
    "LEVEL_LOW": ("the input is very quiet",
                  "turn the source or the input gain (`alsamixer`, F4) up until peaks reach about -6 dBFS"),
    "CHANNEL_DEAD": ("one channel is silent while the other plays", "check plug and cable, or set [audio] channel = 1 or 2"),
    "SAMPLES_LOST": ("the card loses samples", "give the card a port of its own, without a hub, and check the power supply"),
    "HELD_UP": ("this machine did not keep up, and skipped half a second of sound or more",
                "end other programs, and check its SD card and power supply"),
    "CARD_CLOCK": ("the card's clock is off by more than 500 ppm",
                   "set the card to the rate of rate_hz, or replace it; of PipeWire, name `pulse`"),
}
"""What is said of each; first what is told before the others."""


def is_dead(channels: tuple[Channel, ...]) -> bool:
    """Whether one is silent while another plays."""
    peaks = [each.peak for each in channels]
    return max(peaks, default=0.0) > ALIVE_PEAK and min(peaks) < DEAD_SHARE * max(peaks)


def are_opposite(channels: tuple[Channel, ...], mixed_peak: float) -> bool:
    """Whether all play, and their mix is next to nothing: a balanced output in a stereo input."""
    weakest = min((each.peak for each in channels), default=0.0)
    return weakest > ALIVE_PEAK and mixed_peak < CANCELLED_SHARE * weakest


class LineHealth:
    """Listens to the line itself, not to the music on it; one per opening of it."""

    def __init__(self, fmt: StreamFormat, alarms: tuple[Alarm, ...] = ()) -> None:
        """`alarms`: what stood when the line was lost; it stands until it is found mended."""
        self._fmt = fmt
        self._second = np.zeros(fmt.rate_hz, np.float32)
        self._window = np.hanning(fmt.rate_hz).astype(np.float32)
        self._hop = self._seconds = self._heard = 0
        self._levels: deque[float] = deque(maxlen=LOW_OF_S)
        """dBFS of each second, where there was sound in it."""
        self._beside: tuple[tuple[Channel, ...], tuple[int, ...], float] = ((), (), 0.0)
        self._lost_before: tuple[int, ...] = ()
        self._found: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self.alarms = alarms
        """Those that stand, in the order of REMEDIES."""

    def beside(self, channels: tuple[Channel, ...], lost_samples: int, drift_ppm: float, skipped_samples: int = 0) -> None:
        """Once a second, what only the card can tell: each channel of it, samples lost since some day, its clock against
        ours; and what this process has skipped since then."""
        self._beside = (channels, (lost_samples, skipped_samples), drift_ppm)

    def process(self, block: AudioBlock, silent: bool) -> None:
        """One hop, and whether the features call it silent."""
        at = self._hop * self._fmt.hop
        self._second[at : at + self._fmt.hop] = block.samples
        self._hop += 1
        self._heard += not silent
        if self._hop == HOPS_PER_S:
            self._hop = 0
            self._judge()

    def _judge(self) -> None:
        second = self._second
        level_dbfs = level_of(second)
        peak = float(np.ptp(second)) / 2
        clipped = int(np.count_nonzero(np.abs(second) >= FULL_SCALE))
        channels, _, _ = self._beside
        self._levels.append(level_dbfs if self._heard > HEARD_HOPS else -math.inf)
        verdicts = {
            "CLIPPING": max((clipped, *(each.clipped for each in channels))) >= CLIPPED_PER_S,
            "LEVEL_LOW": self._is_low(),
            "DC_OFFSET": abs(float(second.mean())) > DC_SHARE,
            # A converter without anything need not rest at 0, nor a mix of two that have something be other than 0.
            "NO_SIGNAL": not (peak or any(each.peak for each in channels)),
        } | self._card(peak)
        self._heard = 0
        self._seconds += 1
        if self._seconds % HUM_EVERY_S == 0:
            verdicts["MAINS_HUM"] = level_dbfs > HUM_FLOOR_DBFS and self._is_hum()
        for code, found in verdicts.items():
            self._found[code] = self._found[code] + 1 if found else 0
            self._missed[code] = 0 if found else self._missed[code] + 1
        self.alarms = tuple(Alarm(code, *words) for code, words in REMEDIES.items() if self._stands(code))

    def _stands(self, code: str) -> bool:
        standing = any(alarm.code == code for alarm in self.alarms)
        return self._missed[code] < CALM[code] if standing else self._found[code] >= PATIENCE[code]

    def _card(self, peak: float) -> dict[str, bool]:
        channels, lost, drift_ppm = self._beside
        before, self._lost_before = self._lost_before or lost, lost  # what is counted begins before the stream
        more = [now > then for then, now in zip(before, lost, strict=True)] or (False, False)
        return {
            "CHANNEL_DEAD": is_dead(channels),
            "CHANNELS_CANCEL": are_opposite(channels, peak),
            "SAMPLES_LOST": more[0],
            "HELD_UP": more[1],
            "CARD_CLOCK": abs(drift_ppm) > DRIFT_PPM,
        }

    def _is_low(self) -> bool:
        heard = [level for level in self._levels if level > -math.inf]
        return len(self._levels) == LOW_OF_S and len(heard) >= LOW_HEARD_S and max(heard) < LOW_DBFS

    def _is_hum(self) -> bool:
        spectrum = np.abs(np.fft.rfft((self._second - self._second.mean()) * self._window)) ** 2
        total = float(spectrum.sum()) + 1e-12
        freqs_hz = np.arange(len(spectrum))  # a window of one second has bins of 1 Hz
        for mains_hz in (50, 60):
            nearest = np.clip(np.round(freqs_hz / mains_hz), 1, HUM_MULTIPLES) * mains_hz
            if float(spectrum[np.abs(freqs_hz - nearest) <= HUM_WIDTH_HZ].sum()) / total > HUM_SHARE:
                return True
        return False
