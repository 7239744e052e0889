"""k1edge: line-in audio to light on a K1, over MQTT.

From Python: `k1edge.BeatDetector` finds the beats of a file or an array, `k1edge.Pipeline` is the live engine, block by block.

Each folder says what it is and of which layer; what a layer may import is in `tests/test_architecture.py`, the map of them all
and where to begin with a change in the README.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k1edge.api import BeatDetector
    from k1edge.pipeline import Pipeline

__version__ = "0.1.0"
__all__ = ["BeatDetector", "Pipeline", "__version__"]

_HOMES = {"BeatDetector": "k1edge.api", "Pipeline": "k1edge.pipeline"}


def __getattr__(name: str) -> Any:
    """Loads the engines when they are asked for: the command line must start without them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'k1edge' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
