import unicodedata

import pytest

from k1edge.library.search import Query
from k1edge.library.store import TrackFacts

TRACKS = [
    ("Überfahrt", "Zoë & The Night", ("slow", "winter"), "crossing.flac", 90.0),
    ("Дорога домой", "Группа", ("road",), "doroga.mp3", 120.0),
    ("東京の夜", "山田", ("city",), "tokyo.wav", 128.0),
    ("Night Drive", "Lane", ("road", "slow"), "night-drive.ogg", 100.0),
    ("ليل", "فيروز", (), "layl.ogg", 80.0),
]


@pytest.fixture
def filled(library, clock):
    for n, (title, artist, tags, filename, bpm) in enumerate(TRACKS):
        clock.now_s += 1
        facts = TrackFacts(f"{n:064x}"[::-1], filename, title=title, artist=artist, tags=tags)
        track = library.register(facts)
        library.db.execute("UPDATE tracks SET bpm = ?, status = 'ready' WHERE id = ?", (bpm, track["id"]))
    return library


def titles(library, **query) -> list[str]:
    return [track["title"] for track in library.search(Query(**query)).tracks]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("uber", ["Überfahrt"]),
        ("ZOE", ["Überfahrt"]),
        ("night", ["Night Drive", "Überfahrt"]),
        ("night lane", ["Night Drive"]),
        ("дор", ["Дорога домой"]),
        ("京", ["東京の夜"]),
        ("の夜", ["東京の夜"]),
        ("ليل", ["ليل"]),
        ("tokyo", ["東京の夜"]),
        ("ight", []),
        ("winter", ["Überfahrt"]),
        ("crossing.flac", ["Überfahrt"]),
    ],
)
def test_words_are_found_from_their_beginning_in_every_script(filled, text, found):
    assert titles(filled, text=text) == found


@pytest.mark.parametrize("name", ["Мой рок", "Ёлка", "がんばれ", "한국 노래", "Ελλάδα", "Việt"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_a_name_is_found_however_its_accents_are_written(library, name, typed):
    for n, form in enumerate(("NFC", "NFD")):
        library.register(TrackFacts(f"{n:016x}" + "0" * 48, f"{unicodedata.normalize(form, name)}.mp3"))
    assert len(titles(library, text=unicodedata.normalize(typed, name))) == 2


@pytest.mark.parametrize("text", ['"', "'; DROP TABLE tracks", "a OR", "NEAR(", "* - ^", "\x00", "(", "{x}:y", "ab" * 9000])
def test_no_text_is_a_syntax_error(filled, text):
    filled.search(Query(text=text))
    assert filled.search(Query()).total == len(TRACKS)


def test_filters_combine(filled):
    assert titles(filled, tag="road", bpm_min=110.0) == ["Дорога домой"]
    assert titles(filled, bpm_min=85.0, bpm_max=100.0, order="bpm") == ["Überfahrt", "Night Drive"]
    assert titles(filled, status="failed") == []
    assert titles(filled, preset="default", source="file", pinned=False, text="lane") == ["Night Drive"]


@pytest.mark.parametrize(("order", "column", "ranked"), [
    ("title", "title", ["ant", "Bee", "cat"]), ("artist", "artist", ["ant", "Bee", "cat"]), ("bpm", "bpm", [80.0, 90.0, 100.0]),
    ("updated", "filename", ["3.wav", "2.wav", "1.wav"]),
])  # fmt: skip
def test_tracks_come_in_the_order_that_is_asked_for_whatever_the_case(library, clock, order, column, ranked):
    for n, (name, bpm) in enumerate((("cat", 90.0), ("ant", 100.0), ("Bee", 80.0)), 1):
        clock.now_s += 1
        track = library.register(TrackFacts(f"{n:016x}" + "0" * 48, f"{n}.wav", title=name, artist=name))
        library.db.execute("UPDATE tracks SET bpm = ? WHERE id = ?", (bpm, track["id"]))
    assert [track[column] for track in library.search(Query(order=order)).tracks] == ranked


def test_pages_follow_each_other_without_gap_or_repeat(filled):
    pages = [filled.search(Query(limit=2, offset=offset)) for offset in (0, 2, 4)]
    assert [page.total for page in pages] == [5, 5, 5]
    assert [track["title"] for page in pages for track in page.tracks] == [t[0] for t in reversed(TRACKS)]
