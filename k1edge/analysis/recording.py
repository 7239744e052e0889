"""Keeps what the live pipeline heard of one song, for the passes that need all of it.

Consumes features, beat states and what the tracker heard, one a hop; emits a `Recording` of columns, (hops, ...), that can be
written down and read again. Holes in the audio are silent rows. 141 bytes a hop: 0.85 MB a minute. Cost: 8 us a hop;
what has been kept is not copied to keep more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from k1edge.beat.observation import Activation, Heard
from k1edge.dsp.features import N_BANDS, N_NOVELTY
from k1edge.frames import HOPS_PER_S, BeatState, FeatureFrame, StreamFormat

CHUNK = 60 * HOPS_PER_S
MEANS_AT_ONCE = 64
MAGIC = b"K1HEARD1"
ROW = np.dtype(
    [
        ("bands", np.float16, N_BANDS),
        ("novelty", np.float16, N_NOVELTY),
        ("chroma", np.float16, 12),
        ("level_dbfs", np.float32),
        ("centroid_hz", np.float32),
        ("heard", np.float32, len(Activation._fields)),
        ("onset", np.float32),
        ("kick", np.float32),
        ("sounding", np.bool_),
    ]
)


class Recording:
    """Columns over the hops of one song; index n is the hop that ends at (n + 1) / HOPS_PER_S s."""

    def __init__(self, rows: np.ndarray, latency_s: float) -> None:
        self.rows = rows
        """(hops,) of ROW."""
        self.latency_s = latency_s
        """How long before the end of its hop the sound was that `heard` speaks of."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> np.ndarray:
        """(hops, ...) a view."""
        return self.rows[column]

    @property
    def duration_s(self) -> float:
        return len(self.rows) / HOPS_PER_S

    def chunks(self):
        """Pieces of at most CHUNK hops, so that wide columns need not be widened all at once."""
        for first in range(0, len(self.rows), CHUNK):
            yield self.rows[first : first + CHUNK]


def means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(hops, ...) -> (n, ...) averages from each of (n + 1,) rising edges to the next; a few at a time, as they are widened."""
    counts, sums = np.diff(edges).reshape(-1, *[1] * (values.ndim - 1)), []
    for first in range(0, len(counts), MEANS_AT_ONCE):
        some = edges[first : first + MEANS_AT_ONCE + 1]
        sums.append(np.add.reduceat(values[some[0] : some[-1]], some[:-1] - some[0], axis=0, dtype=np.float64))
    return np.concatenate(sums) / counts


def unpack(content: bytes) -> tuple[Recording, int]:
    """A recording from a file, and the sample rate it was made at. Raises ValueError."""
    magic, _, rest = content.partition(b"\n")
    head_text, _, rows = rest.partition(b"\n")
    head = json.loads(head_text) if magic == MAGIC else {}
    if head.get("row") != ROW.itemsize or len(rows) % ROW.itemsize:
        raise ValueError("is no recording of this version of k1edge, or is damaged")
    return Recording(np.frombuffer(rows, ROW), head["latency_s"]), head["rate_hz"]


class Keeper:
    """Frames in, one `Recording` out."""

    def __init__(self, fmt: StreamFormat, latency_s: float) -> None:
        self._hop, self._latency_s = fmt.hop, latency_s
        self._chunks: list[np.ndarray] = []
        self._first: int | None = None
        self._used = 0
        self._dues: dict[int, int] = {}
        """Of the beats that were announced, by their numbers."""

    def __len__(self) -> int:
        return self._used

    @property
    def beats(self) -> int:
        """How many beats were announced."""
        return len(self._dues)

    def add(self, features: FeatureFrame, beat: BeatState, heard: Heard) -> None:
        """The next hop; a jump of `end` leaves a hole."""
        if self._first is None:
            self._first = features.end
        row = (features.end - self._first) // self._hop
        while row >= len(self._chunks) * CHUNK:
            self._chunks.append(np.zeros(CHUNK, ROW))
        self._chunks[row // CHUNK][row % CHUNK] = (
            features.bands,
            features.novelty,
            features.chroma,
            features.level_dbfs,
            features.centroid_hz,
            heard.activation,
            heard.onset,
            heard.kick,
            not features.silent,
        )
        self._used = row + 1
        if event := beat.announced:
            self._dues[event.number] = event.due

    def last(self, hops: int) -> np.ndarray:
        """(hops or fewer,) of ROW, a copy."""
        first = max(self._used - hops, 0)
        chunks = enumerate(self._chunks[first // CHUNK :], first // CHUNK)
        return np.concatenate([chunk[max(first - n * CHUNK, 0) : self._used - n * CHUNK] for n, chunk in chunks])

    def cut(self, hops: int) -> Keeper:
        """Takes the last `hops` off, as a keeper of their own that goes on from here."""
        kept = self._used - hops
        rest = Keeper(StreamFormat(self._hop * HOPS_PER_S), self._latency_s)
        rest._first, rest._used = self._first + kept * self._hop, hops
        rows = np.concatenate(self._chunks[kept // CHUNK :])[kept % CHUNK :][:hops]
        for first in range(0, hops, CHUNK):
            rest._chunks.append(np.zeros(CHUNK, ROW))
            part = rows[first : first + CHUNK]
            rest._chunks[-1][: len(part)] = part
        del self._chunks[-(-kept // CHUNK) :]
        rest._dues = {number: due for number, due in self._dues.items() if due >= rest._first - self._hop}
        self._dues = {number: due for number, due in self._dues.items() if number not in rest._dues}
        self._used = kept
        return rest

    def finish(self) -> Recording:
        """All that was added."""
        rows = np.concatenate(self._chunks) if self._chunks else np.zeros(0, ROW)
        return Recording(rows[: self._used], self._latency_s)

    def packed(self) -> Iterator[bytes | memoryview]:
        """All that was added as a file, piece by piece: of 4 MB nothing is copied, which would take longer than a hop may."""
        # The k1edge before an update, to which it may be rolled back, asks for a table of beats.
        head = {"rate_hz": self._hop * HOPS_PER_S, "latency_s": self._latency_s, "beats": [], "row": ROW.itemsize}
        yield b"%s\n%s\n" % (MAGIC, json.dumps(head).encode())
        for n, chunk in enumerate(self._chunks):
            yield chunk[: self._used - n * CHUNK].view(np.uint8).data
