"""Finds tracks: free text over title, artist, tags and file name, filters, pages.

Consumes a `Query`, emits a `Page`. Words match from their beginning, in any case and without accents; scripts that do not
separate words (Chinese, Japanese, Korean, Thai) match anywhere.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from dataclasses import dataclass
from typing import Any

UNSEPARATED = re.compile(r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff])")
"""Thai, Lao, Burmese, Khmer, kana, Han, Hangul."""
ORDERS = {
    "updated": "updated_ms DESC, key DESC",
    "title": "title COLLATE NOCASE, key",
    "artist": "artist COLLATE NOCASE, title COLLATE NOCASE, key",
    "bpm": "bpm, key",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; what is None does not matter."""

    text: str = ""
    status: str | None = None
    preset: str | None = None
    source: str | None = None
    tag: str | None = None
    pinned: bool | None = None
    bpm_min: float | None = None
    bpm_max: float | None = None
    order: str = "updated"
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the tracks found."""

    tracks: list[dict[str, Any]]
    total: int
    """Of all pages."""


def searchable(text: str) -> str:
    """The text as it is indexed: composed, as it is typed (a Mac names files otherwise); unseparated characters stand alone."""
    return UNSEPARATED.sub(r" \1 ", unicodedata.normalize("NFC", text))


def _match(text: str) -> str:
    """Free text as an FTS5 expression: every word must occur, from its beginning."""
    words = re.findall(r"[^\s\"]+", text)
    phrases = [" ".join(searchable(word).split()) for word in words]
    return " ".join(f'"{phrase}"*' for phrase in phrases if re.search(r"\w", phrase))


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    where = ["deleted_ms IS NULL"]
    values: list[Any] = []
    for column, operator, value in (
        ("status", "=", query.status),
        ("preset", "=", query.preset),
        ("source", "=", query.source),
        ("pinned", "=", query.pinned),
        ("bpm", ">=", query.bpm_min),
        ("bpm", "<=", query.bpm_max),
    ):
        if value is not None:
            where.append(f"{column} {operator} ?")
            values.append(value)
    if query.tag is not None:
        where.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
        values.append(query.tag)
    if match := _match(query.text):
        where.append("key IN (SELECT rowid FROM words WHERE words MATCH ?)")
        values.append(match)
    return where, values


def track_of(row: sqlite3.Row) -> dict[str, Any]:
    """One row of `tracks` as plain objects."""
    track = dict(row)
    del track["key"]
    return track | {
        "tags": json.loads(track["tags"]),
        "override": json.loads(track["override"]) if track["override"] else None,
        "pinned": bool(track["pinned"]),
    }


def search(db: sqlite3.Connection, query: Query) -> Page:
    """One page of the tracks that match."""
    where, values = _conditions(query)
    clause = " AND ".join(where)
    total = db.execute(f"SELECT count(*) FROM tracks WHERE {clause}", values).fetchone()[0]
    rows = db.execute(
        f"SELECT * FROM tracks WHERE {clause} ORDER BY {ORDERS[query.order]} LIMIT ? OFFSET ?",
        [*values, query.limit, query.offset],
    )
    return Page([track_of(row) for row in rows], total)
