"""The whole state of a pipeline as bytes, and back: what comes after is then decided as if nothing had happened.

Consumes and emits bytes of Python's pickle, of which only this project's classes and plain NumPy arrays are believed. An
array that is a view of another comes back as a view of it: the stages write into their buffers through views.
"""

from __future__ import annotations

import io
import pickle

import numpy as np

PLAIN = {
    "builtins": {"set", "frozenset", "slice", "range", "bytearray"},
    "collections": {"deque", "Counter", "OrderedDict"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "numpy": {"ndarray", "dtype", "float32", "float64", "int64", "bool"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}
"""What is needed besides our own classes: containers and arrays, nothing that runs."""


class CheckpointError(ValueError):
    """Bytes that are no checkpoint of this version, or that ask for more than a pipeline's state."""


class _Sheet:
    """Memory that is written to as a file is."""

    def __init__(self, memory: bytearray) -> None:
        self._memory, self._used = memory, 0

    def write(self, piece: bytes | memoryview | pickle.PickleBuffer) -> int:
        if isinstance(piece, pickle.PickleBuffer):  # what an array's memory comes as
            piece = piece.raw()
        end = self._used + len(piece)
        if end > len(self._memory):
            larger = bytearray(end * 5 // 4)
            larger[: self._used] = memoryview(self._memory)[: self._used]
            self._memory = larger
        self._memory[self._used : end] = piece
        self._used = end
        return len(piece)

    def written(self) -> memoryview:
        return memoryview(self._memory)[: self._used]


def dumps(state: object, memory: bytearray | None = None) -> memoryview:
    """Any stage, or all of them, as bytes.

    `memory` is written to where it is large enough; nothing else may use it any more. A hop waits for this, and a Pi takes
    several times longer to get 1.5 MB of fresh memory than to fill it.
    """
    sheet = _Sheet(bytearray() if memory is None else memory)
    _Pickler(sheet, pickle.HIGHEST_PROTOCOL).dump(state)
    return sheet.written()


def loads(data: bytes | memoryview) -> object:
    """The stages that `dumps` wrote. Raises CheckpointError."""
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"not a checkpoint of this version: {error}") from error


def view(owner: np.ndarray, offset: int, kind: str, form: tuple[tuple[int, ...], tuple[int, ...]]) -> np.ndarray:
    """The array at a byte offset in the memory of another; `form` is its shape and strides."""
    shape, strides = form
    return np.ndarray(shape, np.dtype(kind), owner.data, offset, strides)


class _Pickler(pickle.Pickler):
    def reducer_override(self, array: object) -> object:
        owner = getattr(array, "base", None)
        if type(array) is not np.ndarray or type(owner) is not np.ndarray or not owner.flags.c_contiguous:
            return NotImplemented
        offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        return view, (owner, offset, array.dtype.str, (array.shape, array.strides))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if name in PLAIN.get(module, ()) or (module, name) == (__name__, view.__name__):
            return super().find_class(module, name)
        if module.startswith("k1edge.") and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise CheckpointError(f"a checkpoint has no business with {module}.{name}")
