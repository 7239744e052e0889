from k1edge.ask import outline


def test_an_answer_is_an_outline_in_which_nothing_is_said_as_nothing():
    answer = {"tracks": [], "devices": {}, "title": None, "total": 0, "tags": ["a", "b"], "rows": [{"id": 1, "note": ""}]}
    assert outline(answer) == [
        "tracks: none", "devices: none", "title: not known", "total: 0", "tags: a, b", "rows:", "  - id 1",
    ]  # fmt: skip


def test_a_long_list_is_cut_and_its_length_told():
    assert outline(list(range(60)))[0].endswith("49, ... (60)")
