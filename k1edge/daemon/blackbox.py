"""The flight recorder of a running edge: checkpoints when they are due, what hands did between, files when they are asked for.

Consumes the pipeline and its frames; writes recordings below the state folder, beside the loop.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

from k1edge.config import Settings
from k1edge.daemon import recorder
from k1edge.daemon.recorder import Recorder
from k1edge.errand import Errand
from k1edge.frames import GenesisFrame
from k1edge.live import checkpoint
from k1edge.live.desk import RefusedError
from k1edge.pipeline import Pipeline
from k1edge.system.state import state_folder


class BlackBox:
    """A recorder that knows whose flight it records; does nothing where there is nothing to replay."""

    def __init__(self, settings: Settings, boot_id: str) -> None:
        # aubio hears samples, which are not recorded, and its state is out of reach.
        wanted = settings.recorder.minutes > 0 and settings.beat.tells
        self._recorder = Recorder(settings.recorder.minutes) if wanted else None
        self._boot_id = boot_id
        self._pipeline: Pipeline | None = None
        """That of the present stretch."""
        self._numbers = count(1)
        self._writer: Errand | None = None
        with suppress(OSError):
            for draft in _folder().glob(".*"):  # of a life that was cut short
                draft.unlink()

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return self._recorder is not None

    @property
    def nbytes(self) -> int:
        """What has been recorded takes."""
        return 0 if self._recorder is None else self._recorder.nbytes

    def before(self, pipeline: Pipeline) -> None:
        """The pipeline, which may be a new one, is about to process a hop."""
        if self._recorder is None:
            return
        if self._recorder.wants_checkpoint or pipeline is not self._pipeline:
            self._pipeline = pipeline
            self._recorder.begin(partial(checkpoint.dumps, pipeline))
        elif pipeline.acts:
            self._recorder.note(bytes(checkpoint.dumps(pipeline.acts)))

    def after(self, frame: GenesisFrame) -> None:
        """It has processed the hop."""
        if self._recorder is not None:
            self._recorder.add(frame)

    def save(self, wait: bool = False) -> str:
        """Writes all there is, beside the loop unless `wait`; returns the file, '' if off.

        Raises OSError, and RefusedError while another is being written: each takes a thread, and room on the card.
        """
        if self._recorder is None:
            return ""
        if not (wait or self._writer is None or self._writer.wait(0)):
            raise RefusedError("NOT_READY", "another recording is being written; try again in a moment")
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < self._recorder.nbytes:  # said now: who asked is not told how the writing went
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{self._boot_id}-{next(self._numbers)}"
        write = partial(recorder.save, self._recorder.contents(), folder, name)
        if wait:
            write()
        else:
            self._writer = Errand(write)
        return str(folder / f"{name}.k1rec")


def _folder() -> Path:
    return state_folder() / "recordings"
