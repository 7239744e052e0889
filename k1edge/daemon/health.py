"""How an edge is, as its `status` has it: what those who find something wrong tell the one who says so."""

from __future__ import annotations

from typing import NamedTuple


class Health(NamedTuple):
    """Whole, unless it says otherwise."""

    state: str = "ready"
    code: str = ""
    reason: str = ""
