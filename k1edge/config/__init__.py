"""The configuration: TOML in, validated `Settings` out, or every fault at once.

`settings`, `looks`, `rules` and `mqtt` are the tables; `file` reads the file; `faults` finds the words and `source` the lines.
"""

from k1edge.config.faults import ConfigError, Fault
from k1edge.config.file import BUILT_IN, SYSTEM_FILE, find, load, loads, read, tables
from k1edge.config.looks import LookSettings
from k1edge.config.mqtt import MqttSettings
from k1edge.config.rules import RulesSettings
from k1edge.config.settings import (
    AudioSettings,
    BeatSettings,
    DeviceSettings,
    GenesisSettings,
    HomeAssistantSettings,
    K1Settings,
    LibrarySettings,
    LogSettings,
    RecorderSettings,
    Settings,
    SystemSettings,
    TelemetrySettings,
)

__all__ = [
    "BUILT_IN",
    "SYSTEM_FILE",
    "AudioSettings",
    "BeatSettings",
    "ConfigError",
    "DeviceSettings",
    "Fault",
    "GenesisSettings",
    "HomeAssistantSettings",
    "K1Settings",
    "LibrarySettings",
    "LogSettings",
    "LookSettings",
    "MqttSettings",
    "RecorderSettings",
    "RulesSettings",
    "Settings",
    "SystemSettings",
    "TelemetrySettings",
    "find",
    "load",
    "loads",
    "read",
    "tables",
]
