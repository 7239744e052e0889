"""The configuration: TOML in, validated `Settings` out, or every fault at once.

`settings`, `looks`, `rules` and `mqtt` are the tables; `file` reads the file; `faults` finds the words and `source` the lines.
Layer: facts.
"""

from k1edge.config.faults import ConfigError
from k1edge.config.file import BUILT_IN, SYSTEM_FILE, find, load, loads, read, tables
from k1edge.config.looks import LookSettings
from k1edge.config.mqtt import MqttSettings
from k1edge.config.rules import RulesSettings
from k1edge.config.settings import (
    AudioSettings,
    BeatSettings,
    DeviceSettings,
    GenesisSettings,
    K1Settings,
    LibrarySettings,
    LogSettings,
    Settings,
    TelemetrySettings,
)

__all__ = [
    "BUILT_IN", "SYSTEM_FILE", "AudioSettings", "BeatSettings", "ConfigError", "DeviceSettings", "GenesisSettings",
    "K1Settings", "LibrarySettings", "LogSettings", "LookSettings", "MqttSettings", "RulesSettings", "Settings",
    "TelemetrySettings", "find", "load", "loads", "read", "tables",
]
