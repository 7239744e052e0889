"""The end of a program's process, once everything is said."""

from __future__ import annotations

import logging
import os

from k1edge.audio import StuckError


def end_if_stuck(code: int) -> None:
    """Ends the process with that code where a tidy exit would wait for a sound library that never returns."""
    if StuckError.raised:
        logging.shutdown()
        os._exit(code)
