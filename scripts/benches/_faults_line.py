"""Faults of the card, the cable and the sound itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _fault_table import DETECT_S, HALT_S, LIGHT_S, REPLUGGED_S, Table, Venue
from _venue import RATE_HZ, Wall, awaited, music

from tests.sound import PCM, PulseLine, as_pcm16


def absent_at_boot(make: Callable[..., Venue], table: Table) -> None:
    """The card is plugged in when the edge already runs."""
    with make("absent at boot", fault="error", light=False) as venue:
        said_s = venue.heard(venue.began_s, "AUDIO_ABSENT")
        venue.wall = Wall(venue.broker.settings(), venue.line.starts)
        venue.line.fault("run")
        table.row("card absent at boot", "AUDIO_ABSENT", said_s, venue.light(time.monotonic()), venue, within_s=REPLUGGED_S)


def audio(make: Callable[..., Venue], table: Table) -> None:
    """Faults of the card and the cable, on one running edge."""
    with make("audio") as venue:
        for fault, word, code in (
            ("unplugged as the kernel does it", "unplug", "AUDIO_STALLED"),
            ("device gone", "error", "AUDIO_LOST"),
            ("stalled", "stall", "AUDIO_STALLED"),
            ("a close that hangs", "hang", "AUDIO_STALLED"),
        ):
            began_s = venue.begin()
            venue.line.fault(word)
            free_s = venue.wall.freed(began_s)
            said_s = venue.heard(began_s, code)
            time.sleep(HALT_S)
            venue.line.fault("run")
            table.row(fault, code, said_s, venue.light(time.monotonic()), venue, free_s=free_s, within_s=REPLUGGED_S)
        began_s = venue.begin()
        venue.line.fault("unplug")
        venue.heard(began_s, "AUDIO_STALLED")
        venue.line.plug(as_pcm16(music()))
        home = venue.folder / "wire" / "home" / ".asoundrc"
        home.write_text(home.read_text().replace(f"pcm.{PCM} ", "pcm.another ") + home.read_text().split("\n", 1)[1])
        said_s = venue.heard(began_s, "AUDIO_ABSENT")
        venue.line.fault("run")
        light_s = venue.light(time.monotonic())
        table.row("replugged under another index", "AUDIO_ABSENT", said_s, light_s, venue, within_s=REPLUGGED_S)
        began_s = venue.begin()
        venue.line.fault("unplug")
        venue.line.plug(as_pcm16(music()), rate_hz=48_000)
        venue.heard(began_s, "AUDIO_STALLED")
        venue.line.fault("run")
        said_s = venue.heard(began_s, "AUDIO_RATE")
        venue.line.plug(as_pcm16(music()))
        light_s = venue.light(time.monotonic())
        table.row("sample rate changed, and back", "AUDIO_RATE", said_s, light_s, venue, within_s=REPLUGGED_S)
        # From 200 ms on nothing has come for so long that the line counts as stalled, which has a row of its own.
        for fault, word in (("120 ms lost in silence", "hole 120"), ("an overrun that is reported", "xrun 1")):
            began_s = venue.begin()
            venue.line.fault(word)
            lost = venue.witness.last("/telemetry").get("audio_lost_samples", 0)
            said_s = awaited(lambda since=began_s, before=lost: _more_lost(venue, since, before), DETECT_S)
            if venue.heard(0.0, "SAMPLES_LOST") is None:  # it stands for a minute, the second time too
                said_s = None
            table.row(fault, "SAMPLES_LOST", said_s, venue.light(began_s), venue)
        began_s = venue.begin()
        venue.line.fault("silence")
        said_s = venue.heard(began_s, "NO_SIGNAL")
        venue.line.fault("run")
        table.row("digital silence", "NO_SIGNAL", said_s, venue.light(time.monotonic()), venue)


def _more_lost(venue: Venue, since_s: float, before: int) -> float | None:
    last = venue.witness.last("/telemetry")
    return time.monotonic() - since_s if last.get("audio_lost_samples", 0) > before else None


def quality(make: Callable[..., Venue], table: Table) -> None:
    """What is wrong with the sound itself: one line that goes through it all."""
    rng, song = np.random.default_rng(7), music()
    t = np.arange(len(song)) / RATE_HZ
    hiss = 0.0006 * rng.standard_normal((len(song), 2))
    hum = 0.02 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3))[:, None]
    wrong = {
        "CLIPPING": np.clip(song * 20, -1, 1), "DC_OFFSET": song * 0.5 + 0.06, "MAINS_HUM": hum + hiss,
        "LEVEL_LOW": song * 0.004, "CHANNEL_DEAD": song * (1.0, 0.0), "CHANNELS_CANCEL": song * (1.0, -1.0),
    }  # fmt: skip
    for code, samples in wrong.items():
        bad = as_pcm16(np.concatenate((song[: 20 * RATE_HZ], samples[: 50 * RATE_HZ], song[20 * RATE_HZ : 55 * RATE_HZ])))
        with make(code, frames=bad) as venue:
            began_s = venue.line.starts()[-1].began_s + 20.0
            said_s = venue.heard(began_s, code)
            mended_s = began_s + 50.0
            time.sleep(max(0.0, mended_s - time.monotonic()))
            # Beats of the second part begin anew: 70 s are 140 beats, so the grid is the same.
            table.row(f"line: {code.lower().replace('_', ' ')}", code, said_s, venue.light(mended_s), venue)


def sound_server(make: Callable[..., Venue], table: Table, root: Path) -> None:
    """PulseAudio killed and started again, with a player that starts again too."""
    import soundfile

    wav = root / "loop.wav"
    soundfile.write(wav, music(), RATE_HZ)
    with PulseLine.running(RATE_HZ) as pulse:
        player = pulse.play(wav)
        with make("sound server", env={k: pulse.env[k] for k in ("HOME", "XDG_RUNTIME_DIR")}, light=False) as venue:
            venue.wall = Wall(venue.broker.settings(), list)
            flashing = awaited(lambda: len(venue.wall.on.flashes_s()) > 4, LIGHT_S)
            began_s = time.monotonic()
            pulse.stop()
            free_s = venue.wall.freed(began_s)
            said_s = venue.heard(began_s, "AUDIO_LOST") if flashing else None
            time.sleep(HALT_S)
            pulse.start()
            player, back_s = pulse.play(wav), time.monotonic()
            light_s = awaited(lambda: _first_flash(venue, back_s), LIGHT_S)
            table.row(
                "sound server killed and restarted",
                "AUDIO_LOST",
                said_s,
                light_s,
                venue,
                free_s=free_s,
                within_s=REPLUGGED_S,
                note="(any four flashes: where the beats lie is not known)",
            )
            venue.wall.close()
            venue.wall = None
        player.kill()


def _first_flash(venue: Venue, since_s: float) -> float | None:
    flashes_s = venue.wall.on.flashes_s()
    later = flashes_s[flashes_s > since_s]
    return float(later[0] - since_s) if len(later) >= 4 else None
