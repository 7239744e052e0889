"""What takes the place of a call that is to fail."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NoReturn


def raising(fault: BaseException) -> Callable[..., NoReturn]:
    """A function that takes anything, and raises this."""

    def call(*_args: object, **_more: object) -> NoReturn:
        raise fault

    return call


def full(*_args: object, **_more: object) -> NoReturn:
    """Writes to a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")
