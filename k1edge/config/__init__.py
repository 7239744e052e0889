"""The configuration: TOML in, validated `Settings` out, or every fault at once.

`settings`, `looks` and `mqtt` are the tables; `file` reads the file; `faults` finds the words and `source` the lines.
"""

from k1edge.config.faults import ConfigError, Fault
from k1edge.config.file import BUILT_IN, find, load
from k1edge.config.looks import LookSettings
from k1edge.config.mqtt import MqttSettings
from k1edge.config.settings import (
    AudioSettings,
    BeatSettings,
    DeviceSettings,
    GenesisSettings,
    K1Settings,
    LibrarySettings,
    LogSettings,
    RecorderSettings,
    Settings,
    TelemetrySettings,
)

__all__ = [
    "BUILT_IN",
    "AudioSettings",
    "BeatSettings",
    "ConfigError",
    "DeviceSettings",
    "Fault",
    "GenesisSettings",
    "K1Settings",
    "LibrarySettings",
    "LogSettings",
    "LookSettings",
    "MqttSettings",
    "RecorderSettings",
    "Settings",
    "TelemetrySettings",
    "find",
    "load",
]
