import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from k1edge.audio import AudioError
from k1edge.audio.synth import four_on_the_floor
from k1edge.config import Settings
from k1edge.genesis.codec import read_json
from k1edge.genesis.document import GenesisMap, validate
from k1edge.library.errors import Code, LibraryError
from k1edge.library.worker import Failure
from k1edge.programs import job
from k1edge.programs.analyze import _choose_pictures, _is_done, _work_off
from k1edge.programs.songs import every_song
from tests.brokers import PATIENCE_S, eventually
from tests.in_terminal import told

ANALYZE = [sys.executable, "-m", "tests.programs.eager", "analyze"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def analyze(*args) -> subprocess.CompletedProcess:
    return subprocess.run([*ANALYZE, *map(str, args)], capture_output=True, text=True, timeout=4 * PATIENCE_S, env=ONE_THREAD)


def mapped(song: Path, *told) -> GenesisMap:
    return job.file_to_map(song, Settings(), lambda stage, share: None, *told)


def reports(done: subprocess.CompletedProcess) -> dict[str, dict]:
    return {Path(r["file"]).name: r for r in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A directory with good songs and every kind of bad one."""
    folder = tmp_path_factory.mktemp("music")
    song = four_on_the_floor(126.0, 14.0, 44_100)
    soundfile.write(folder / "песня один.wav", song.samples, 44_100)
    (folder / "deep").mkdir()
    soundfile.write(folder / "deep" / "曲.flac", song.samples[: 44_100 * 12], 44_100)
    soundfile.write(folder / "deep" / "misnamed.mp3", song.samples[: 44_100 * 10], 44_100, format="WAV")
    soundfile.write(folder / "silence.wav", np.zeros(48_000 * 2), 48_000)
    soundfile.write(folder / "blink.wav", song.samples[:44_100], 44_100)
    (folder / "empty.mp3").write_bytes(b"")
    (folder / "letter.ogg").write_text("dear sound")
    (folder / "torn.flac").write_bytes((folder / "deep" / "曲.flac").read_bytes()[:300])
    (folder / "notes.txt").write_text("not a song by its name")
    return folder


@pytest.fixture(scope="module")
def first_run(music, tmp_path_factory):
    maps = tmp_path_factory.mktemp("maps")
    return analyze(music, "--output", maps, "--json", "--jobs", 2), maps


def test_every_good_song_is_done_and_every_bad_one_fails_with_its_code(first_run):
    done, _ = first_run
    found = reports(done)
    assert done.returncode == 1
    assert {name for name, r in found.items() if r["state"] == "completed"} == {"песня один.wav", "曲.flac", "misnamed.mp3"}
    assert {name: r["code"] for name, r in found.items() if r["state"] == "failed"} == {
        "silence.wav": "NO_MUSIC",
        "blink.wav": "NO_MUSIC",
        "empty.mp3": "INVALID_FILE_FORMAT",
        "letter.ogg": "INVALID_FILE_FORMAT",
        "torn.flac": "INVALID_FILE_FORMAT",
    }
    assert found["песня один.wav"]["bpm"] == pytest.approx(126, abs=1)
    assert "Traceback" not in done.stderr


def test_the_maps_are_valid_and_name_their_song(first_run):
    _, maps = first_run
    written = sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.genesis.json"))
    assert written == ["deep/misnamed.mp3.genesis.json", "deep/曲.flac.genesis.json", "песня один.wav.genesis.json"]
    for path in maps.rglob("*.genesis.json"):
        song = validate(read_json(path.read_bytes()))
        assert song.metadata.filename + ".genesis.json" == path.name
        assert song.layers.annotations.f_measure_known is False


def test_an_interrupted_run_is_resumed_where_it_stopped(first_run, music):
    _, maps = first_run
    (maps / "deep" / "曲.flac.genesis.json").write_text("{")
    again = reports(analyze(music / "песня один.wav", music / "deep", "--output", maps / "deep", "--json"))
    assert again["песня один.wav"]["state"] == "completed"
    assert again["曲.flac"]["state"] == "completed"
    rerun = analyze(music / "deep", "--output", maps / "deep", "--json")
    assert {r["state"] for r in reports(rerun).values()} == {"skipped"}
    assert rerun.returncode == 0


def test_a_song_that_another_has_taken_the_place_of_is_not_done(first_run, music, tmp_path):
    _, maps = first_run
    song, other = (next(every_song([path], maps, print)) for path in (music / "песня один.wav", music / "blink.wav"))
    other.output = song.output
    assert (_is_done(song), _is_done(other)) == (True, False)


def test_a_person_gets_lines_and_a_picture(music, tmp_path):
    done = analyze(music / "deep" / "曲.flac", "-o", tmp_path, "--plot", tmp_path / "song.png")
    assert done.returncode == 0 and done.stdout == ""
    (bpm,) = re.findall(r"✓ 曲.flac: ([0-9.]+) bpm", done.stderr)
    assert float(bpm) == pytest.approx(126, abs=1)
    assert (tmp_path / "song.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("words", [["none.wav"], ["--jobs", "0", "."]])
def test_a_file_that_is_missing_or_no_worker_at_all_is_refused(capsys, words):
    code, _, said = told(capsys, "analyze", *words)
    assert code == 2 and said.startswith("k1edge analyze: ")


def test_a_place_that_cannot_be_written_is_said_and_nothing_else(music, tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = analyze(music / "silence.wav", "-o", tmp_path / "file" / "maps")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("k1edge analyze: ") and "Not a directory" in done.stderr


@pytest.mark.parametrize(("target", "code", "told"), [("> /dev/full", 74, "k1edge: standard output: "), ("| true", 0, "")])
def test_reports_that_nobody_gets_are_no_fault_of_a_file(music, tmp_path, target, code, told):
    command = f"{shlex.join([*ANALYZE, '--json', '-o', str(tmp_path), str(music / 'letter.ogg')])} {target}"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, env=ONE_THREAD)
    assert done.returncode == code
    assert done.stderr.startswith(told) and "None" not in done.stderr


def test_several_songs_are_drawn_into_a_folder(first_run, music, tmp_path):
    _, maps = first_run
    done = analyze(music / "песня один.wav", music / "deep", "-o", maps, "--plot", tmp_path / "new", "--json")
    drawn = {Path(name).name for name, r in reports(done).items() if r["state"] != "failed"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{name}.png" for name in drawn}


def test_songs_of_one_name_keep_their_pictures_and_maps_apart_or_are_refused(first_run, music, tmp_path, capsys):
    _, maps = first_run
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(music / "deep" / "曲.flac", tmp_path / name)
        shutil.copy(maps / "deep" / "曲.flac.genesis.json", tmp_path / name)
    assert told(capsys, "analyze", str(tmp_path), "--plot", str(tmp_path / "all"))[0] == 0
    assert sorted(path.parent.name for path in (tmp_path / "all").glob("*/曲.flac.png")) == ["a", "b"]
    for option, target in (("--plot", "曲.flac.png"), ("--output", "曲.flac.genesis.json")):
        code, _, said = told(capsys, "analyze", *(str(tmp_path / folder) for folder in "ab"), option, str(tmp_path / "one"))
        assert code == 2 and f"would both become {tmp_path / 'one' / target}" in said
        assert not (tmp_path / "one").exists()


def test_one_song_is_drawn_into_the_file_or_the_folder_that_is_given_and_several_into_a_folder(tmp_path):
    for name in ("music/a.wav", "music/deep/b.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def pictures(given, plot):
        songs = list(every_song([tmp_path / given], None, pytest.fail))
        _choose_pictures(songs, tmp_path / plot)
        return [song.picture.relative_to(tmp_path).as_posix() for song in songs]

    assert pictures("music/a.wav", "new.png") == ["new.png"]
    assert pictures("music/a.wav", "music") == ["music/a.wav.png"]
    assert pictures("music", "new") == ["new/a.wav.png", "new/deep/b.wav.png"]


def test_a_name_that_is_not_utf_8_is_analysed_drawn_and_told_in_utf_8(music, tmp_path):
    shutil.copy(music / "deep" / "曲.flac", tmp_path / os.fsdecode(b"caf\xe9.flac"))
    done = analyze(tmp_path, "--json", "--plot", tmp_path / "song.png")
    assert (done.returncode, (tmp_path / "song.png").exists()) == (0, True)
    assert reports(done)["caf\ufffd.flac"]["state"] == "completed"


def test_a_picture_that_is_none_is_refused_before_the_analysis(music, tmp_path, capsys):
    song, maps, picture = (str(path) for path in (music / "deep" / "曲.flac", tmp_path / "maps", tmp_path / "song.foo"))
    code, _, said = told(capsys, "analyze", song, "-o", maps, "--plot", picture)
    assert (code, Path(maps).exists()) == (2, False)
    assert said.startswith(f"k1edge analyze: --plot {picture}: a picture's name ends in .png")


def test_a_link_far_within_does_not_take_the_name_of_the_folder_that_it_leads_to(tmp_path):
    for folder in (tmp_path / "A" / "deep", tmp_path / "B"):
        folder.mkdir(parents=True)
    (tmp_path / "B" / "song.mp3").write_bytes(b"")
    (tmp_path / "A" / "deep" / "favourites").symlink_to(tmp_path / "B")
    (song,) = every_song([tmp_path], None, pytest.fail)
    assert song.path.relative_to(tmp_path).as_posix() == "B/song.mp3"


def test_a_folder_is_searched_through_its_links_once_and_nothing_hidden_is_taken(tmp_path):
    within, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
    for folder in (within / "b", within / ".Trashes", elsewhere):
        folder.mkdir(parents=True)
        (folder / "song.mp3").write_bytes(b"")
    (within / "._song.mp3").write_bytes(b"")
    (within / "a").symlink_to(within / "b")
    (within / "round").symlink_to(within)
    (within / "share").symlink_to(elsewhere)
    songs = every_song([within], None, pytest.fail)
    assert [song.path.relative_to(within).as_posix() for song in songs] == ["b/song.mp3", "share/song.mp3"]


@pytest.fixture
def shut(public, request):
    """A folder of three: one may be read, one listed alone, and one not even that."""
    for name, mode in (("open", 0o755), ("listed", 0o444), ("closed", 0)):
        (public / name / "deep").mkdir(parents=True)
        (public / name / "song.mp3").write_bytes(b"")
        (public / name).chmod(mode)
    request.getfixturevalue("unprivileged")
    return public


def test_a_folder_that_may_not_be_read_is_told_and_the_others_are_searched(shut):
    faults = []
    found = {song.path.parent.name: song.failure and song.failure.reason for song in every_song([shut], None, faults.append)}
    assert found == {"open": None, "listed": "cannot be read: Permission denied"}
    told = {Path(fault.filename).relative_to(shut).as_posix(): fault.strerror for fault in faults}
    assert told == dict.fromkeys(("closed", "listed/deep"), "Permission denied")


def test_what_cannot_become_a_map_is_told_before_anything_is_analysed(tmp_path, capsys):
    longest = "ж" * 119  # with .mp3, 242 bytes: what the name of its map just leaves
    for name in (f"{longest}.mp3", f"{longest}x.mp3"):
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "broken.mp3").symlink_to(tmp_path / "nowhere")
    found = {song.path.name: song.failure and song.failure.code for song in every_song([tmp_path], None, pytest.fail)}
    assert found == {
        f"{longest}.mp3": None,
        f"{longest}x.mp3": "FILE_NOT_ALLOWED",
        "pipe.wav": "INVALID_FILE_FORMAT",
        "broken.mp3": "FILE_NOT_FOUND",
    }
    code, said, _ = told(capsys, "analyze", str(tmp_path / "pipe.wav"), "--json")
    assert (code, json.loads(said)["state"]) == (1, "failed")


@pytest.mark.parametrize("name", ["x" * 300 + ".mp3", "closed/song.mp3"])
def test_a_name_that_cannot_be_looked_at_is_said_without_a_traceback(name, shut, capsys):
    code, _, said = told(capsys, "analyze", str(shut / name))
    assert code == 2 and said.startswith(f"k1edge analyze: {shut / name}: ")


def test_a_directory_without_songs_is_said(tmp_path, capsys):
    assert told(capsys, "analyze", str(tmp_path)) == (1, "", "k1edge analyze: there is no sound file in there\n")


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_song_that_is_replaced_while_it_is_listened_to_is_refused(music, tmp_path, monkeypatch):
    song = tmp_path / "song.flac"
    shutil.copy(music / "deep" / "曲.flac", song)
    listen = job.listen

    def replaced(*args):
        recording = listen(*args)
        shutil.copy(music / "песня один.wav", song)
        return recording

    monkeypatch.setattr(job, "listen", replaced)
    with pytest.raises(LibraryError, match="replaced by another file"):
        mapped(song)


@pytest.mark.parametrize(("pulled", "code"), [(True, "FILE_NOT_FOUND"), (False, "INVALID_FILE_FORMAT")])
def test_a_song_that_is_pulled_with_its_stick_while_it_is_listened_to_is_away_and_not_damaged(
    music, tmp_path, monkeypatch, pulled, code
):
    song = tmp_path / "song.flac"
    shutil.copy(music / "deep" / "曲.flac", song)

    def torn(*args):
        if pulled:
            song.unlink()
        raise AudioError("song.flac", "cannot be read as audio (System error)", "give another")

    monkeypatch.setattr(job, "listen", torn)
    with pytest.raises(LibraryError) as told:
        mapped(song)
    assert told.value.code == code


def test_a_song_too_long_for_the_memory_it_may_use_is_refused_before_it_is_heard(music, monkeypatch):
    def at_most(mb):
        monkeypatch.setattr(job.resource, "getrlimit", lambda which: (mb * 1_000_000, mb * 1_000_000))

    monkeypatch.setattr(job, "listen", lambda *args: pytest.fail("was listened to"))
    monkeypatch.setattr(job.FileSource, "__init__", _lasting(400))
    at_most(700)
    with pytest.raises(LibraryError, match="400 minutes: that needs 920 MB of memory, and an analysis may use 700") as told:
        mapped(music / "песня один.wav")
    assert told.value.code == "OUT_OF_MEMORY"
    at_most(1_000)
    with pytest.raises(pytest.fail.Exception, match="was listened to"):
        mapped(music / "песня один.wav")
    monkeypatch.setattr(job.FileSource, "__init__", _lasting(240))
    at_most(700)
    lasts_s: list[float] = []
    with pytest.raises(pytest.fail.Exception, match="was listened to"):
        mapped(music / "песня один.wav", lasts_s.append)
    assert lasts_s == [240 * 60]


def _lasting(minutes):
    opened = job.FileSource.__init__

    def open_(self, path):
        opened(self, path)
        self.duration_s = minutes * 60.0

    return open_


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_it_early_ends_the_workers_leaves_no_half_map_and_is_told(music, tmp_path, hangs_up, how):
    process = subprocess.Popen([*ANALYZE, str(music), "-o", str(tmp_path)], stderr=subprocess.PIPE, env=ONE_THREAD)
    eventually(lambda: children(process.pid), "a worker is at work")
    workers = children(process.pid)
    process.send_signal(how)
    assert b"Traceback" not in process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 128 + how
    eventually(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "they are gone")
    for path in tmp_path.rglob("*.genesis.json"):
        validate(read_json(path.read_bytes()))


def test_it_is_ended_early_and_shown_between_songs_that_have_their_maps(first_run, music, tmp_path):
    _, maps = first_run
    for name in "abc":
        shutil.copy(music / "deep" / "曲.flac", tmp_path / name)
        shutil.copy(maps / "deep" / "曲.flac.genesis.json", tmp_path / f"{name}.genesis.json")
    songs = list(every_song([tmp_path / name for name in "abc"], None, pytest.fail))
    signals, told = [], []

    class Show:
        def ended(self, name, song):
            told.append((name, song.state))
            signals.extend([signal.SIGINT] * (name == "b"))

        def update(self, songs):
            told.append("drawn")

    _work_off(songs, argparse.Namespace(again=False, jobs=1, json=False), Show(), signals)
    assert told == [("a", "skipped"), "drawn", ("b", "skipped"), "drawn"]


@pytest.mark.parametrize("jobs", [1, 3, 9])
def test_so_many_songs_as_are_asked_for_are_analysed_at_a_time(tmp_path, monkeypatch, jobs):
    class Hopeless:
        failure, polls = Failure(Code.NO_MUSIC, "there is only silence"), 0

        def __init__(self, *_):
            pass

        def poll(self) -> bool:
            self.polls += 1
            return self.polls == 9

        def close(self):
            pass

    class Show:
        def ended(self, name, song):
            pass

        def update(self, songs):
            busy.append(sum(song.worker is not None for song in songs))

    for n in range(5):
        (tmp_path / f"{n}.wav").touch()
    monkeypatch.setattr("k1edge.programs.analyze.Worker", Hopeless)
    monkeypatch.setattr("k1edge.programs.analyze.POLL_S", 0.0)
    songs, busy = list(every_song([tmp_path], None, pytest.fail)), []
    _work_off(songs, argparse.Namespace(again=False, jobs=jobs, json=False, config=None), Show(), [])
    assert max(busy) == min(jobs, 5) and {song.state for song in songs} == {"failed"}


def test_the_faults_of_a_configuration_are_told_once_and_nothing_is_analysed(tmp_path, capsys):
    (tmp_path / "k1edge.toml").write_text("[beat]\ntempo_min_bpm = 7\n[audi]\n")
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(44_100), 44_100)
    code, _, said = told(capsys, "analyze", str(tmp_path), "--config", str(tmp_path / "k1edge.toml"))
    assert code == os.EX_CONFIG
    assert said.count("k1edge.toml:3: audi: ") == said.count("k1edge.toml:2: beat.tempo_min_bpm: ") == 1 and "a.wav" not in said


def test_a_configuration_counts_whose_password_may_not_be_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("k1edge.library.worker.NICE", 0)
    (tmp_path / "k1edge.toml").write_text('[mqtt]\nurl = "mqtt://broker"\nusername = "me"\npassword_file = "not/here"\n')
    soundfile.write(tmp_path / "silence.wav", np.zeros(44_100), 44_100)
    code, _, said = told(capsys, "analyze", str(tmp_path), "--config", str(tmp_path / "k1edge.toml"))
    assert code == 1 and "there is only silence" in said
