"""Files as a source, and sound as a file."""

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from k1edge.audio import AudioError, synth
from k1edge.audio.files import FileSource, encoded

RATE_HZ = 44_100


def joined(source):
    return np.concatenate([block.samples for block in source])


@pytest.fixture(scope="module")
def music():
    return synth.four_on_the_floor(120, 3.0).samples


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_a_wav_file_comes_back_bit_exact_in_hops(tmp_path, music, rate_hz):
    samples = (np.round(music * 32767) / 32768).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, rate_hz, subtype="PCM_16")
    source = FileSource(tmp_path / "a.wav")
    blocks = list(source)
    heard = np.concatenate([block.samples for block in blocks])
    assert source.fmt.rate_hz == rate_hz
    assert source.duration_s == pytest.approx(len(samples) / rate_hz)
    np.testing.assert_array_equal(heard[: len(samples)], samples)
    assert [block.start for block in blocks] == [n * source.fmt.hop for n in range(len(blocks))]
    assert {len(block.samples) for block in blocks} == {source.fmt.hop}
    assert {block.arrived_ns for block in blocks} == {0}


def test_the_last_hop_is_filled_with_silence(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(441 * 3 + 100, 0.5), RATE_HZ)
    *_, last = FileSource(tmp_path / "a.wav")
    assert (last.samples[:100] == 0.5).all()
    assert not last.samples[100:].any()


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_compressed_files_sound_like_what_was_written(tmp_path, music, ending):
    soundfile.write(tmp_path / f"a.{ending}", music, RATE_HZ)
    heard = joined(FileSource(tmp_path / f"a.{ending}"))[: len(music)]
    assert np.corrcoef(heard, music[: len(heard)])[0, 1] > 0.98


@pytest.fixture
def unmeasured(tmp_path, music):
    """A flac that was written into a pipe, and so never learned how long it is."""
    soundfile.write(tmp_path / "a.flac", music, RATE_HZ)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    return tmp_path / "a.flac"


def test_a_file_that_does_not_know_its_length_is_heard_to_its_end_each_time(unmeasured, music):
    source = FileSource(unmeasured)
    for _ in range(2):
        np.testing.assert_allclose(joined(source)[: len(music)], music, atol=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_file_whose_recorder_was_killed_is_heard_to_its_end(tmp_path, music, subtype):
    soundfile.write(tmp_path / "a.wav", np.column_stack([music, music]), RATE_HZ, subtype=subtype)
    whole = joined(FileSource(tmp_path / "a.wav"))
    content = bytearray((tmp_path / "a.wav").read_bytes())
    size = content.index(b"data") + 4
    content[4:8] = content[size : size + 4] = bytes(4)
    (tmp_path / "a.wav").write_bytes(content)
    source = FileSource(tmp_path / "a.wav")
    assert source.duration_s == pytest.approx(len(music) / RATE_HZ, abs=0.001)
    for _ in range(2):
        np.testing.assert_array_equal(joined(source)[: len(whole)], whole)


def test_a_source_that_was_closed_holds_no_file_open(tmp_path, music):
    soundfile.write(tmp_path / "a.wav", music, RATE_HZ)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "killed.wav").write_bytes(whole.replace(b"data" + whole[40:44], b"data" + bytes(4)))
    for name in ("a.wav", "killed.wav"):
        source = FileSource(tmp_path / name)
        source.close()
        assert tmp_path / name not in {path.resolve() for path in Path("/proc/self/fd").iterdir()}


def test_a_length_that_cannot_be_is_not_believed(unmeasured, tmp_path, music):
    assert FileSource(unmeasured).duration_s < 10
    soundfile.write(tmp_path / "a.ogg", music, RATE_HZ)
    (tmp_path / "a.ogg").write_bytes(2 * (tmp_path / "a.ogg").read_bytes())  # a broadcast: its last page is another stream's
    assert FileSource(tmp_path / "a.ogg").duration_s < 10


def test_a_name_need_not_be_utf_8(tmp_path, music):
    soundfile.write(tmp_path / "a.wav", music, RATE_HZ)
    named = (tmp_path / "a.wav").rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    assert len(joined(FileSource(named))) == len(music)


def test_stereo_is_mixed_to_the_mean(tmp_path, music):
    soundfile.write(tmp_path / "a.wav", np.column_stack((music, -music)), RATE_HZ, subtype="FLOAT")
    assert np.abs(joined(FileSource(tmp_path / "a.wav"))).max() < 1e-6


@pytest.mark.parametrize(("native_hz", "chosen_hz"), [(8_000, 48_000), (22_050, 44_100), (32_000, 48_000), (96_000, 48_000)])
def test_other_rates_are_resampled_without_delay_or_loss(tmp_path, native_hz, chosen_hz):
    t = np.arange(native_hz * 2) / native_hz
    tone = 0.5 * np.sin(2 * np.pi * 440 * t) * np.hanning(len(t))
    soundfile.write(tmp_path / "a.wav", tone, native_hz, subtype="FLOAT")
    source = FileSource(tmp_path / "a.wav")
    heard = joined(source)
    at = np.arange(len(heard)) / chosen_hz
    wanted = 0.5 * np.sin(2 * np.pi * 440 * at) * np.interp(at, t, np.hanning(len(t)), right=0)
    assert source.fmt.rate_hz == chosen_hz
    assert len(heard) == 2 * chosen_hz
    np.testing.assert_allclose(heard, wanted, atol=2e-3)


def test_a_rate_that_is_asked_for_is_given(tmp_path, music):
    soundfile.write(tmp_path / "a.wav", music, RATE_HZ)
    source = FileSource(tmp_path / "a.wav", 48_000)
    assert source.fmt.hop == 480
    assert len(joined(source)) == pytest.approx(len(music) * 48_000 / RATE_HZ, abs=480)


def test_each_iteration_begins_at_the_beginning(tmp_path, music):
    soundfile.write(tmp_path / "a.flac", music, RATE_HZ)
    source = FileSource(tmp_path / "a.flac")
    iterator = iter(source)
    first = next(iterator).samples.copy()
    next(iterator)
    np.testing.assert_array_equal(next(iter(source)).samples, first)
    source.close()


def test_samples_that_are_not_numbers_are_silence_and_too_loud_ones_are_clipped(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.r_[np.nan, np.inf, -np.inf, 7.5, -7.5, 0.25], RATE_HZ, subtype="FLOAT")
    assert joined(FileSource(tmp_path / "a.wav"))[:6].tolist() == [0, 0, 0, 1, -1, 0.25]


def test_a_paced_file_takes_its_time_and_a_fast_one_does_not(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE_HZ // 2), RATE_HZ)
    began_ns = time.monotonic_ns()
    paced = list(FileSource(tmp_path / "a.wav", paced=True))
    taken_s = (time.monotonic_ns() - began_ns) / 1e9
    arrivals_ns = np.array([block.arrived_ns for block in paced])
    assert taken_s >= 0.499
    assert (np.diff(arrivals_ns) == 10_000_000).all()
    assert arrivals_ns[0] >= began_ns + 10_000_000
    began_s = time.monotonic()
    fast = list(FileSource(tmp_path / "a.wav"))
    assert time.monotonic() - began_s < taken_s
    assert [b.start for b in fast] == [b.start for b in paced]


def test_long_files_are_streamed_not_loaded(tmp_path):
    with soundfile.SoundFile(tmp_path / "long.wav", "w", RATE_HZ, 2, "PCM_16") as file:
        for _ in range(120):
            file.write(np.zeros((RATE_HZ, 2)))
    chunks = FileSource(tmp_path / "long.wav")._mono()
    assert max(len(chunk) for chunk in chunks) <= RATE_HZ


def broken(folder):
    """Every way a file can be no audio: name -> content, or what to do with the path."""
    good = folder / "good.flac"
    soundfile.write(good, np.random.default_rng(0).uniform(-0.5, 0.5, RATE_HZ), RATE_HZ)
    return {
        "empty.wav": b"",
        "text.mp3": b"these are words, and no music at all\n" * 50,
        "header.wav": b"RIFF\x00\x00\x00\x00WAVE",
        "cut.flac": good.read_bytes()[:60],
        "noise.ogg": bytes(range(256)) * 20,
    }


@pytest.mark.parametrize("name", ["empty.wav", "text.mp3", "header.wav", "cut.flac", "noise.ogg"])
def test_a_file_that_is_no_audio_is_named_with_reason_and_remedy(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(broken(tmp_path)[name])
    with pytest.raises(AudioError) as raised:
        list(FileSource(path))
    assert raised.value.device == str(path)
    assert raised.value.reason
    assert raised.value.remedy


@pytest.mark.parametrize("content", [b"ID3" + bytes(200), b"<html>not found</html>" * 50], ids=["no sound", "a web page"])
def test_an_mp3_that_is_none_is_not_said_to_be_missing(tmp_path, content):
    (tmp_path / "song.mp3").write_bytes(content)
    with pytest.raises(AudioError, match="cannot be read as audio") as raised:
        FileSource(tmp_path / "song.mp3")
    assert "exist" not in raised.value.reason


def test_damage_in_the_middle_ends_in_an_audio_error_or_in_less_sound(tmp_path, music):
    soundfile.write(tmp_path / "a.flac", music, RATE_HZ)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4_000] = np.random.default_rng(0).bytes(4_000)
    (tmp_path / "a.flac").write_bytes(data)
    try:
        heard = joined(FileSource(tmp_path / "a.flac"))
    except AudioError as error:
        assert "cannot be read" in error.reason
    else:
        assert len(heard) <= len(music) + 441


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "there is no such file"),
        (lambda p: p.mkdir(), "is not a file"),
        (lambda p: soundfile.write(p, np.zeros(0), RATE_HZ, format="WAV"), "holds no audio"),
        (lambda p: soundfile.write(p, np.zeros(100), 1_000, format="WAV"), "has a sample rate of 1000 Hz"),
    ],
)
def test_what_cannot_be_a_source_says_why(tmp_path, make, reason):
    make(tmp_path / "x.wav")
    with pytest.raises(AudioError, match=reason):
        FileSource(tmp_path / "x.wav")


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_file_without_permission_says_so(public, request, closed):
    song = public / "songs" / "a.wav"
    song.parent.mkdir()
    soundfile.write(song, np.zeros(RATE_HZ), RATE_HZ)
    (song if closed == "file" else song.parent).chmod(0)
    request.getfixturevalue("unprivileged")
    with pytest.raises(AudioError, match="may not be read by this user; change its permissions"):
        FileSource(song)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_a_song_of_a_minute_becomes_every_kind_of_file(ending):
    seconds = 60
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (seconds * RATE_HZ, 2)).astype(np.float32)
    written = io.BytesIO(encoded(f"song.{ending}", noise, RATE_HZ))
    info = soundfile.info(written)
    assert (info.channels, info.samplerate) == (2, RATE_HZ)
    assert info.duration == pytest.approx(seconds, abs=0.1)
