import pytest

from k1edge.__main__ import main
from k1edge.ask import outline


def test_an_answer_is_an_outline_in_which_nothing_is_said_as_nothing():
    answer = {"tracks": [], "devices": {}, "title": None, "total": 0, "tags": ["a", "b"], "rows": [{"id": 1, "note": ""}]}
    assert outline(answer) == [
        "tracks: none", "devices: none", "title: not known", "total: 0", "tags: a, b", "rows:", "  - id 1",
    ]  # fmt: skip


def test_a_long_list_is_cut_and_its_length_told():
    assert outline(list(range(60)))[0].endswith("49, ... (60)")


@pytest.mark.parametrize(("words", "taught"), [
    (["version.diff"], "Takes track=, old=, new="),
    (["beats.override", "track=t", "beat=1"], "[beats=], [ops=]"),
    (["track.lst"], "there are scene.apply"),
])  # fmt: skip
def test_who_asks_wrongly_is_told_what_the_verb_takes(capsys, words, taught):
    assert main(["ask", *words]) == 2
    assert taught in capsys.readouterr().err
