"""`k1edge events` prints what the engine decides, when it decides it."""

import pytest
import soundfile

from k1edge.__main__ import main
from k1edge.audio.demo import demo_song


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "demo.wav"
    song = demo_song()
    soundfile.write(path, song.samples[: 70 * song.rate_hz], song.rate_hz)
    return path


def _lines(capsys, *args):
    code = main(["events", *map(str, args)])
    return code, [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_every_decision_is_one_line_in_order_and_none_comes_from_the_future(table, capsys):
    code, (header, *rows) = _lines(capsys, table)
    assert code == 0
    assert header == ["time_s", "kind", "label", "probability", "decided_at_s"]
    assert {row[1] for row in rows} <= {"section", "build", "drop", "breakdown", "wire"}
    assert {"section", "wire"} <= {row[1] for row in rows}
    decided = [float(row[4]) for row in rows]
    assert decided == sorted(decided)
    assert all(0 <= float(row[3]) <= 1 for row in rows)
    assert all(float(row[0]) <= float(row[4]) + 1e-6 for row in rows)
    assert [row[2] for row in rows if row[1] == "wire"][-1] == "music"


def test_a_file_that_is_none_is_named_without_a_traceback(tmp_path, capsys):
    path = tmp_path / "text.wav"
    path.write_text("not sound")
    assert main(["events", str(path)]) == 1
    assert "text.wav" in capsys.readouterr().err
