"""Songs analysed by a configuration of one's own."""

import os

import numpy as np
import soundfile

from k1edge import __main__ as door


def test_the_faults_of_a_configuration_are_told_once_and_nothing_is_analysed(tmp_path, capsys):
    (tmp_path / "k1edge.toml").write_text("[beat]\ntempo_min_bpm = 7\n[audi]\n")
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(44_100), 44_100)
    assert door.main(["analyze", str(tmp_path), "--config", str(tmp_path / "k1edge.toml")]) == os.EX_CONFIG
    told = capsys.readouterr().err
    assert told.count("k1edge.toml:3: audi: ") == told.count("k1edge.toml:2: beat.tempo_min_bpm: ") == 1 and "a.wav" not in told


def test_a_configuration_counts_whose_password_may_not_be_read(tmp_path, capsys):
    (tmp_path / "k1edge.toml").write_text('[mqtt]\nurl = "mqtt://broker"\nusername = "me"\npassword_file = "not/here"\n')
    soundfile.write(tmp_path / "silence.wav", np.zeros(44_100), 44_100)
    assert door.main(["analyze", str(tmp_path), "--config", str(tmp_path / "k1edge.toml")]) == 1
    assert "there is only silence" in capsys.readouterr().err
