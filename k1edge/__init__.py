"""k1edge: line-in audio to light on a K1, over MQTT."""

__version__ = "0.1.0"
