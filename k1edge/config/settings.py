"""The settings, one class per table of `k1edge.toml`.

**Consumes** plain tables. **Emits** `Settings`, frozen and complete: every key has a default, and the file
`config/k1edge.toml` spells all of them out. Units are in the keys.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Strict,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from k1edge.config.looks import Looks
from k1edge.config.mqtt import MqttSettings
from k1edge.config.rules import RulesSettings
from k1edge.config.strict import REFUSED, STRICT, refusal

OWN_ENGINE = "bar_pointer"
ENGINES = (OWN_ENGINE, "aubio")
"""What `beat.tracker.make_tracker` can make."""
MAX_DEVICES = 16
MAX_CHANNELS = 32
LONGEST_LEAD_MS = 400
ID_LIMIT = 63
"""Characters of a topic level; also the longest host name."""


def slug(text: str) -> str:
    """A name as a topic level: `a-z 0-9 -` and nothing else; 'k1edge' if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:ID_LIMIT].strip("-") or "k1edge"


def host_slug() -> str:
    """The name of this machine, without its domain, as a topic level."""
    return slug(os.uname().nodename.partition(".")[0])


def _checked_id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise refusal(f"{value[:60]!r} cannot be part of a topic", f"{ID_WORDS}, for example {slug(value)!r}")
    return value


ID_WORDS = f"use 1 to {ID_LIMIT} of the characters a-z 0-9 -, with a letter or digit at either end"
Id = Annotated[str, AfterValidator(_checked_id)]


def _from_the_file(value: str, info: ValidationInfo) -> str:
    return str(info.context.folder / value) if value and info.context else value


Folder = Annotated[str, AfterValidator(_from_the_file)]
"""Absolute, or relative to the configuration's folder."""


def _channel(value: Any) -> Any:
    if value == "mix" or (type(value) is int and 1 <= value <= MAX_CHANNELS):
        return value
    raise refusal("is neither the mix nor a channel")


Channel = Annotated[
    Literal["mix"] | int,
    BeforeValidator(_channel),
    WithJsonSchema({"description": f'"mix" or the number of a channel from 1 to {MAX_CHANNELS}, without quotes'}),
]


class AudioSettings(BaseModel):
    """What is listened to."""

    model_config = STRICT

    device: str = Field("", max_length=200)
    """ALSA card id, PCM name or part of a name; '' = the only capture device there is."""
    rate_hz: Literal[44100, 48000] = 48000
    channel: Channel = "mix"
    input_latency_ms: float = Field(0.0, ge=-200, le=500)
    """How long sound takes from the plug to this process, beyond what is measured: constant, calibrated."""
    gate_dbfs: float = Field(-60.0, ge=-96, le=-20)
    """Below it, it is silent."""


class BeatSettings(BaseModel):
    """Who finds the beat, and what it may expect."""

    model_config = STRICT

    engine: Literal[ENGINES] = OWN_ENGINE
    lead_ms: int = Field(150, ge=100, le=LONGEST_LEAD_MS)
    """How long before it is due a beat is announced."""
    tempo_min_bpm: float = Field(55.0, ge=30, le=150)
    tempo_max_bpm: float = Field(215.0, ge=60, le=300, validate_default=True)
    prior_bpm: float = Field(120.0, ge=40, le=240, validate_default=True)
    """Centre of the log-Gaussian that is believed until a tempo is found."""
    prior_octaves: float = Field(1.0, ge=0.1, le=4)
    """Its standard deviation."""

    @property
    def tells(self) -> bool:
        """Whether the engine hears features alone and tells what it heard: else nothing is recorded, nor caught for a map."""
        return self.engine == OWN_ENGINE

    @field_validator("tempo_max_bpm")
    @classmethod
    def _room_for_every_tempo(cls, value: float, info: ValidationInfo) -> float:
        low = info.data.get("tempo_min_bpm", 0.0)
        if value < 2 * low:
            raise refusal(
                f"{value:g} leaves less than an octave above tempo_min_bpm = {low:g}",
                f"give at least {2 * low:g}, so that some metrical level of any music fits in between",
            )
        return value

    @field_validator("prior_bpm")
    @classmethod
    def _within_the_tempi(cls, value: float, info: ValidationInfo) -> float:
        low, high = info.data.get("tempo_min_bpm", 0.0), info.data.get("tempo_max_bpm", float("inf"))
        if not low <= value <= high:
            raise refusal(f"{value:g} is not between tempo_min_bpm and tempo_max_bpm", f"give {low:g} to {high:g}")
        return value


class GenesisSettings(BaseModel):
    """How the music's form is read."""

    model_config = STRICT

    silence_after_s: float = Field(2.0, ge=0.5, le=60)
    """Quiet for so long is the section `silence`."""
    fade_s: float = Field(3.0, ge=0.1, le=30)
    """How long the light takes to go dark then."""


class DeviceSettings(BaseModel):
    """One K1."""

    model_config = STRICT

    id: Id
    latency_ms: float = Field(0.0, ge=-500, le=500)
    """How much earlier than the sound its beats are sent: positive for a slow K1, negative to hold one back."""
    enabled: bool = True


def _device_form(value: Any) -> str | None:
    if value == "auto":
        return "auto"
    return "listed" if isinstance(value, list | tuple) else None


def _some_and_distinct(devices: tuple[DeviceSettings, ...]) -> tuple[DeviceSettings, ...]:
    if not 1 <= len(devices) <= MAX_DEVICES:
        raise refusal(f"lists {len(devices)} K1s")
    twice = [name for name, count in Counter(device.id for device in devices).items() if count > 1]
    if twice:
        raise refusal(f"more than one K1 has the id {', '.join(map(repr, twice))}", "give each K1 an id of its own")
    return devices


Listed = Annotated[tuple[DeviceSettings, ...], Strict(False), AfterValidator(_some_and_distinct)]
Devices = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[Listed, Tag("listed")],
    Discriminator(_device_form, custom_error_type=REFUSED, custom_error_message="{problem}",
                  custom_error_context={"problem": "is neither \"auto\" nor a list of K1s", "remedy": "", "key": ""}),
]  # fmt: skip


class K1Settings(BaseModel):
    """The K1s that are driven."""

    model_config = STRICT

    devices: Devices = Field("auto", description=f'"auto" or 1 to {MAX_DEVICES} tables [[k1.devices]]')
    """'auto' = every K1 that reports at this site."""
    auto_latency_ms: dict[Id, Annotated[float, Field(ge=-500, le=500)]] = {}
    """Latency, as in `DeviceSettings`, of K1s found by 'auto'; 0 for those not named."""
    macro_rate_hz: int = Field(20, ge=10, le=30)

    @property
    def slowest(self) -> tuple[str, float]:
        """Of the K1s that are driven, the one with the most latency, '' one that is not named, and its ms."""
        if self.devices == "auto":
            late_ms = {"": 0.0} | self.auto_latency_ms
        else:
            late_ms = {device.id: device.latency_ms for device in self.devices if device.enabled} or {"": 0.0}
        return max(late_ms.items(), key=lambda each: each[1])


class TelemetrySettings(BaseModel):
    """How often the edge tells about itself."""

    model_config = STRICT

    rate_hz: float = Field(1.0, ge=0.2, le=10)
    frame_rate_hz: int = Field(20, ge=10, le=30)
    prometheus_port: int = Field(0, ge=0, le=65535)
    """Of 127.0.0.1, where Prometheus finds the same figures; 0 = off."""


class HomeAssistantSettings(BaseModel):
    """The neighbour in many homes."""

    model_config = STRICT

    discovery: bool = False
    """Describe this edge to Home Assistant at the broker."""


class RecorderSettings(BaseModel):
    """The flight recorder."""

    model_config = STRICT

    minutes: float = Field(10.0, ge=0, le=60)
    """Kept in memory, 4 MB a minute; 0 = off."""


class LibrarySettings(BaseModel):
    """Songs, their Genesis Maps, and the process that keeps them."""

    model_config = STRICT

    enabled: bool = True
    music_dir: Folder = Field("", max_length=1000)
    """Nothing outside is ever opened; '' = `music` in the state folder. Its folder `inbox` is watched."""
    capture_live: bool = True
    """Each song heard on the line gets a map; its sound is not kept."""
    recall: bool = True
    """A song that was heard before is led by its map."""
    live_mb_a_day: int = Field(40, ge=1, le=100_000)
    """Of such maps, at most: what else is heard that day gets none, for an SD card wears."""
    limit_mb: int = Field(2_000, ge=10, le=1_000_000)
    """Of maps; beyond it the oldest go, those of the line first, corrected ones last, pinned ones never."""
    max_file_mb: int = Field(50, ge=1, le=2_000)
    time_limit_s: int = Field(300, ge=10, le=3_600)
    memory_mb: int = Field(700, ge=500, le=8_000)
    """Address space of an analysis."""


class SystemSettings(BaseModel):
    """How the edge looks after itself."""

    model_config = STRICT

    gate_s: float = Field(20.0, ge=1, le=600)
    """A changed configuration must do well for so long before it is trusted."""


class LogSettings(BaseModel):
    """What is written to the journal."""

    model_config = STRICT

    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseModel):
    """Everything that can be set."""

    model_config = STRICT

    site: Id = Field("", validate_default=True)
    edge: Id = Field("", validate_default=True)
    audio: AudioSettings = AudioSettings()
    beat: BeatSettings = BeatSettings()
    genesis: GenesisSettings = GenesisSettings()
    rules: RulesSettings = RulesSettings()
    looks: Looks = Field(default_factory=dict, validate_default=True)
    mqtt: MqttSettings = Field(default_factory=dict, validate_default=True)
    k1: K1Settings = Field(K1Settings(), validate_default=True)
    telemetry: TelemetrySettings = TelemetrySettings()
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()
    recorder: RecorderSettings = RecorderSettings()
    library: LibrarySettings = LibrarySettings()
    system: SystemSettings = SystemSettings()
    log: LogSettings = LogSettings()

    @field_validator("site", "edge", mode="before")
    @classmethod
    def _named_after_the_machine(cls, value: Any) -> Any:
        return host_slug() if value == "" else value

    @field_validator("k1")
    @classmethod
    def _told_in_time(cls, value: K1Settings, info: ValidationInfo) -> K1Settings:
        """A K1 drops the beats that come too late: it would stay dark, and nothing would be wrong."""
        if "audio" not in info.data or "beat" not in info.data:
            return value
        heard_ms, lead_ms = info.data["audio"].input_latency_ms, info.data["beat"].lead_ms
        name, light_ms = value.slowest
        if heard_ms + light_ms <= lead_ms:
            return value
        parts = {"audio.input_latency_ms": heard_ms, f"latency_ms of {name!r}": light_ms}
        sum_of = " and ".join(each for each, ms in parts.items() if ms > 0)
        raise refusal(
            f"beats would come {heard_ms + light_ms - lead_ms:g} ms too late: {sum_of} = {heard_ms + light_ms:g} ms, and "
            f"beats are announced beat.lead_ms = {lead_ms} ms ahead",
            f"give a beat.lead_ms of at least {math.ceil(heard_ms + light_ms)} (it goes to {LONGEST_LEAD_MS}), or less latency",
        )
