"""`k1edge events` prints what the engine decides, when it decides it."""

import soundfile

from k1edge.__main__ import main
from tests.music import demo_song


def test_every_decision_is_one_line_in_order_and_none_comes_from_the_future(tmp_path, capsys):
    song = demo_song()
    soundfile.write(tmp_path / "demo.wav", song.samples[: 70 * song.rate_hz], song.rate_hz)
    assert main(["events", str(tmp_path / "demo.wav")]) == 0
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == ["time_s", "kind", "label", "probability", "decided_at_s"]
    assert {row[1] for row in rows} <= {"section", "build", "drop", "breakdown", "wire"}
    assert {"section", "wire"} <= {row[1] for row in rows}
    decided = [float(row[4]) for row in rows]
    assert decided == sorted(decided)
    assert all(0 <= float(row[3]) <= 1 for row in rows)
    assert all(float(row[0]) <= float(row[4]) + 1e-6 for row in rows)
    assert [row[2] for row in rows if row[1] == "wire"][-1] == "music"
