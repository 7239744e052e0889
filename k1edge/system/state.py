"""Where this machine keeps what must survive a restart.

Consumes the environment, emits a folder; whoever writes makes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

INSTALLED = Path("/var/lib/k1edge")
"""The service's."""


def installed_state() -> Path:
    """The service's, for whoever may write it; else one's own."""
    return INSTALLED if os.access(INSTALLED, os.W_OK) else state_folder()


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """systemd's StateDirectory, else $XDG_STATE_HOME/k1edge, else ~/.local/state/k1edge."""
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    home = environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path(environ.get("HOME") or "/tmp", ".local", "state")) / "k1edge"
