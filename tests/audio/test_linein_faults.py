"""What no simulated card can be made to do: a library that never returns, is missing, or refuses."""

import threading
import time
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.audio import ABSENT, BUSY, CHANNEL, AudioError, StuckError, linein
from tests.brokers import PATIENCE_S
from tests.failing import raising

SETTINGS = SimpleNamespace(device="CODEC", rate_hz=48_000, channel="mix")


class PortAudioError(Exception):
    pass


class Stream:
    def __init__(self, **options):
        self.options, self.started, self.never = options, False, threading.Event()

    def start(self):
        self.started = True

    def abort(self):
        raise PortAudioError("it is gone")

    def close(self):
        self.never.wait()

    def deliver(self, frames, overflow=False):
        self.options["callback"](frames.tobytes(), len(frames), None, SimpleNamespace(input_overflow=overflow))


@pytest.fixture
def portaudio(monkeypatch, tmp_path):
    (tmp_path / "cards").write_text(" 1 [CODEC          ]: USB-Audio - USB Audio CODEC\n")
    library = SimpleNamespace(
        PortAudioError=PortAudioError, RawInputStream=Stream, _initialize=lambda: None, _terminate=lambda: None,
        check_input_settings=lambda *_, **__: None,
        query_devices=lambda: [{"name": "USB Audio CODEC: - (hw:1,0)", "max_input_channels": 8}],
    )  # fmt: skip
    monkeypatch.setattr(linein, "sound_library", lambda: library)
    monkeypatch.setattr(linein, "OPEN_LIMIT_S", 0.5)
    monkeypatch.setattr(linein, "CLOSE_LIMIT_S", 0.1)
    library.cards = tmp_path / "cards"
    return library


@pytest.fixture
def line(portaudio):
    return linein.LineIn(SETTINGS, portaudio.cards)


def test_a_card_without_the_channel_that_is_wanted_was_not_pulled_out(portaudio):
    with pytest.raises(AudioError, match="has no channel 9") as raised:
        linein.LineIn(SimpleNamespace(device="CODEC", rate_hz=48_000, channel=9), portaudio.cards)
    assert raised.value.code == CHANNEL


def test_a_close_that_hangs_is_given_up_and_said(line):
    before = time.monotonic()
    with pytest.raises(StuckError, match=r"does not respond within .* restart this process"):
        line.close()
    assert time.monotonic() - before < PATIENCE_S
    line._stream.never.set()


def test_a_card_that_delivers_nothing_and_does_not_let_go_leaves_nothing_else_to_be_told(portaudio, monkeypatch):
    monkeypatch.setattr(linein, "FIRST_BLOCK_S", 0.05)
    with pytest.raises(StuckError) as raised, closing(linein.LineIn(SETTINGS, portaudio.cards)) as line:
        list(line)
    assert raised.value.before is None, "the empty queue is what nothing came by"
    line._stream.never.set()


def test_a_start_of_portaudio_that_hangs_is_given_up(portaudio):
    never = threading.Event()
    portaudio._initialize = never.wait
    with pytest.raises(StuckError, match="PortAudio: does not respond"):
        linein.LineIn(SETTINGS, portaudio.cards)
    never.set()


@pytest.mark.parametrize("asked", ["RawInputStream", "check_input_settings"])
def test_a_device_that_hangs_as_it_is_opened_or_asked_is_given_up(portaudio, asked):
    """As what a sound server has, while nothing links it."""
    never = threading.Event()
    portaudio.RawInputStream = raising(PortAudioError("Invalid sample rate", -9997))
    setattr(portaudio, asked, lambda *_, **__: never.wait(PATIENCE_S))
    with pytest.raises(StuckError, match="USB Audio CODEC: does not respond"):
        linein.LineIn(SETTINGS, portaudio.cards)
    never.set()


def test_a_device_that_hangs_does_not_keep_the_others_from_being_listed(portaudio):
    never = threading.Event()
    portaudio.query_devices = lambda: [{"name": name, "max_input_channels": 2} for name in ("pulse", "USB (hw:1,0)")]
    portaudio.check_input_settings = lambda index, *_, **__: never.wait(PATIENCE_S) if index == 0 else None
    server, card = linein.list_devices(portaudio.cards)
    assert (server.setting, server.stuck, server.rates_hz) == ("pulse", True, ())
    assert (card.setting, card.stuck, card.rates_hz) == ("CODEC", False, (44_100, 48_000))
    never.set()


def test_a_first_start_of_portaudio_that_hangs_is_given_up(portaudio, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(linein, "sound_library", lambda: never.wait(PATIENCE_S))
    with pytest.raises(StuckError, match="PortAudio: does not respond"):
        linein.LineIn(SETTINGS, portaudio.cards)
    never.set()


def test_a_portaudio_that_does_not_start_is_an_audio_error(portaudio):
    portaudio._initialize = raising(PortAudioError("Unanticipated host error"))
    with pytest.raises(AudioError, match="does not start"):
        linein.LineIn(SETTINGS, portaudio.cards)


def test_a_portaudio_that_did_not_start_once_is_started_again(portaudio):
    portaudio._terminate = raising(PortAudioError("PortAudio not initialized"))
    assert linein.LineIn(SETTINGS, portaudio.cards).device.setting == "CODEC"


@pytest.mark.parametrize(
    ("text", "code", "remedy"),
    [
        ("Device unavailable", -9985, "end the program that uses it"),
        ("Invalid sample rate", -9997, 'pcm.line { type plug slave.pcm "hw:CODEC,0" }'),
        ("Sample format not supported", -9994, 'pcm.line { type plug slave.pcm "hw:CODEC,0" }'),
        ("Illegal combination of I/O devices", -9993, "replug it"),
    ],
)
def test_a_card_that_cannot_be_opened_says_why_and_what_to_do(portaudio, text, code, remedy):
    refuse = raising(PortAudioError(f"Error opening stream: {text}", code))
    portaudio.RawInputStream = portaudio.check_input_settings = refuse
    with pytest.raises(AudioError) as raised:
        linein.LineIn(SETTINGS, portaudio.cards)
    assert raised.value.device == "USB Audio CODEC"
    assert text in raised.value.reason
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (OSError("PortAudio library not found"), "apt install libportaudio2"),
        (PortAudioError("Error initializing PortAudio"), "check the sound configuration"),
    ],
)
def test_a_library_that_cannot_be_imported_says_what_to_do(monkeypatch, fault, told):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name == "sounddevice":
            raise fault
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(AudioError, match=told) as raised:
        linein.list_devices()
    assert raised.value.code == ABSENT


@pytest.mark.parametrize(("channel", "opened", "heard"), [("mix", 2, 1.5 / 8), (1, 1, 1 / 8), (5, 5, 5 / 8)])
def test_mono_is_the_first_pair_or_the_channel_that_was_chosen(portaudio, channel, opened, heard):
    settings = SimpleNamespace(device="CODEC", rate_hz=48_000, channel=channel)
    line = linein.LineIn(settings, portaudio.cards)
    assert line._stream.options["channels"] == opened
    line._stream.deliver(np.tile(np.arange(1, opened + 1, dtype=np.float32) / 8, (480, 1)))
    block = next(iter(line))
    assert block.samples.shape == (480,)
    assert (block.samples == heard).all()
    assert not block.samples.flags.writeable


@pytest.mark.parametrize(("sample", "heard"), [(np.nan, 0.25), (np.inf, 0.25), (-np.inf, 0.25), (1e30, 0.75), (-8.0, -0.25)])
def test_a_sample_that_is_no_number_is_silent_and_one_beyond_full_scale_is_full_scale(line, sample, heard):
    frames = np.full((480, 2), 0.5, np.float32)
    frames[100, 1] = sample
    line._stream.deliver(frames)
    samples = next(iter(line)).samples
    assert samples[100] == heard
    assert (np.delete(samples, 100) == 0.5).all()
    assert max(each.peak for each in line.channels()) <= 1


def test_an_overflow_is_counted_with_its_block(line):
    frames = np.zeros((480, 2), np.float32)
    line._stream.deliver(frames)
    line._stream.deliver(frames, overflow=True)
    blocks = iter(line)
    assert [next(blocks) and line.overflows for _ in range(2)] == [0, 1]


def test_a_process_that_cannot_keep_up_skips_what_is_old_and_counts_it(line):
    frames = np.zeros((480, 2), np.float32)
    for _ in range(linein.BACKLOG + 11):
        line._stream.deliver(frames)
    blocks = iter(line)
    first = next(blocks)
    assert first.start == 60 * 480, "the newest of those that waited"
    assert (line.skipped_samples, line.lost_samples) == (60 * 480, 0), "the card has lost nothing"
    line._stream.deliver(frames)
    assert next(blocks).start == 61 * 480


def test_a_short_hold_up_is_caught_up_with_and_nothing_is_lost(line):
    for _ in range(linein.BACKLOG):
        line._stream.deliver(np.zeros((480, 2), np.float32))
    assert [next(iter(line)).start for _ in range(linein.BACKLOG)] == [i * 480 for i in range(linein.BACKLOG)]
    assert (line.skipped_samples, line.lost_samples) == (0, 0)


def test_a_card_that_stands_is_given_up_within_a_quarter_of_a_second(line):
    """By then the K1s are to have their own microphones."""
    line._stream.deliver(np.zeros((480, 2), np.float32))
    waits, blocks = [], iter(line)
    with pytest.raises(AudioError, match="has delivered nothing"):
        waits.extend(blocks)
    assert waits.pop(0) is not None
    assert waits and not any(waits)
    assert (len(waits) + 1) * linein.BREATH_S <= 0.25 - 0.03, "with room for the hop that was due, and to say so"


@pytest.mark.parametrize(("name", "looked_at"), [("USB Audio CODEC: - (hw:1,0)", "the cable"), ("pulse", "the sound server")])
def test_what_is_lost_is_looked_for_where_it_was(portaudio, name, looked_at):
    portaudio.query_devices = lambda: [{"name": name, "max_input_channels": 2}]
    setting = "CODEC" if "CODEC" in name else name
    line = linein.LineIn(SimpleNamespace(device=setting, rate_hz=48_000, channel="mix"), portaudio.cards)
    line._stream.options["finished_callback"]()
    with pytest.raises(AudioError, match=f"was disconnected.*check {looked_at}"):
        next(iter(line))


def test_a_name_in_another_encoding_is_said_and_not_a_crash(portaudio):
    portaudio.query_devices = lambda: [{"name": "bühne".encode("latin-1").decode()}]
    for look in (linein.list_devices, lambda cards: linein.LineIn(SETTINGS, cards)):
        with pytest.raises(AudioError, match=r"is no UTF-8 \(bühne\).*asound.conf"):
            look(portaudio.cards)


def test_a_card_that_is_in_use_is_listed_and_said_to_be_busy(portaudio):
    portaudio.query_devices = list
    portaudio.cards.with_name("pcm").write_text("01-00: USB Audio : USB Audio : playback 1 : capture 1\n")
    (device,) = linein.list_devices(portaudio.cards)
    assert (device.setting, device.closed) == ("CODEC", True)
    with pytest.raises(AudioError) as raised:
        linein.LineIn(SETTINGS, portaudio.cards)
    assert raised.value.code == BUSY


def test_devices_are_listed_with_the_rates_they_offer_and_how_to_name_them(portaudio):
    def only_48(_device, _channels, _dtype, samplerate):
        if samplerate != 48_000:
            raise PortAudioError("Invalid sample rate")

    portaudio.check_input_settings = only_48
    (device,) = linein.list_devices(portaudio.cards)
    assert (device.setting, device.channels, device.rates_hz) == ("CODEC", 8, (48_000,))
