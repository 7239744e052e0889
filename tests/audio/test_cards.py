"""Which device a name means."""

import pytest

from k1edge.audio import ABSENT, BUSY, AudioError
from k1edge.audio.cards import Card, Device, cards_by_index, choose, described, with_closed

CARDS = """\
 0 [vc4hdmi        ]: vc4-hdmi - vc4-hdmi
                      vc4-hdmi
 1 [CODEC          ]: USB-Audio - USB Audio CODEC
                      BurrBrown from Texas Instruments USB Audio CODEC at usb-0000:01:00.0-1.2, full speed
 3 [Device_1       ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.3, full speed
"""

PCMS = """\
00-00: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1
01-00: USB Audio : USB Audio : playback 1 : capture 1
03-00: USB Audio : USB Audio : capture 1
"""


@pytest.fixture
def cards(tmp_path):
    path = tmp_path / "asound" / "cards"
    path.parent.mkdir()
    path.write_text(CARDS)
    path.with_name("pcm").write_text(PCMS)
    return path


@pytest.fixture
def devices(cards):
    names = {
        1: "USB Audio CODEC: - (hw:1,0)", 2: "USB PnP Sound Device: Audio (hw:3,0)",
        4: "USB PnP Sound Device: Audio #1 (hw:3,1)", 6: "default", 7: "k1edge_in",
    }  # fmt: skip
    return [described(index, name, 2, cards_by_index(cards)) for index, name in names.items()]


def ids(cards):
    return {index: card.id for index, card in cards_by_index(cards).items()}


def test_ids_are_read_from_the_kernels_list(cards):
    assert ids(cards) == {0: "vc4hdmi", 1: "CODEC", 3: "Device_1"}


def test_a_name_that_the_kernel_has_cut_within_a_character_hides_no_card(cards):
    """A card's long name, its maker, name and place, has 79 bytes, whatever it is written in."""
    others, _, _ = CARDS.encode().rpartition(b"C-Media")
    cards.write_bytes(others + (30 * "声").encode()[:79] + b"\n")
    assert ids(cards) == {0: "vc4hdmi", 1: "CODEC", 3: "Device_1"}


def test_a_kernel_without_sound_has_no_cards(tmp_path):
    assert cards_by_index(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("CODEC", 1), ("hw:CARD=CODEC", 1), ("hw:CARD=CODEC,DEV=0", 1), ("plughw:CODEC,0", 1), ("usb audio", 1),
        ("Device_1", 2), ("hw:CARD=Device_1,DEV=1", 4), ("audio #1", 4), ("k1edge_in", 7), ("default", 6),
    ],
)  # fmt: skip
def test_a_card_is_found_by_id_address_name_or_part_of_a_name(devices, wanted, index):
    assert choose(devices, wanted).index == index


def test_every_device_is_found_by_the_name_it_is_listed_with(devices):
    for device in devices:
        assert choose(devices, device.setting) is device


def test_the_only_card_needs_no_name(devices):
    assert choose([d for d in devices if d.card_id in ("CODEC", "")], "").setting == "CODEC"


def test_a_replugged_card_is_found_under_its_new_index(cards):
    cards.write_text(CARDS.replace(" 1 [CODEC", " 2 [CODEC"))
    device = described(5, "USB Audio CODEC: - (hw:2,0)", 2, cards_by_index(cards))
    assert choose([device], "CODEC") is device


TWINS = """\
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.{first}, full spe
 2 [Device_1       ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.{second}, full spe
"""


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)])
def test_of_two_equal_cards_each_is_named_by_its_port_whichever_comes_first(cards, first, second):
    cards.write_text(TWINS.format(first=first, second=second))
    known = cards_by_index(cards)
    devices = [described(index, f"USB PnP Sound Device: Audio (hw:{index},0)", 1, known) for index in (1, 2)]
    assert [device.setting for device in devices] == [f"usb-0000:01:00.0-1.{first}", f"usb-0000:01:00.0-1.{second}"]
    assert choose(devices, "usb-0000:01:00.0-1.3") is choose(devices, f"hw:CARD={known[1 if first == 3 else 2].id}")
    with pytest.raises(AudioError, match=r"could be any of 'usb-0000:01:00\.0-1\.\d', 'usb-"):
        choose(devices, "pnp")


def test_a_card_is_found_by_its_port_while_its_twin_is_away_and_in_use(cards):
    port = "usb-0000:01:00.0-1.3"
    assert choose([described(1, "USB PnP Sound Device: Audio (hw:3,0)", 1, cards_by_index(cards))], port).setting == "Device_1"
    with pytest.raises(AudioError, match="Device_1: is in use"):
        choose(with_closed([CODEC], cards), port)


def test_a_port_that_a_long_name_has_cut_is_not_known(cards):
    cards.write_text(TWINS.format(first=2, second=3).replace(", full spe", "")[:-2] + "\n")
    assert [card.port for card in cards_by_index(cards).values()] == ["", ""]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("", "could be any of 'CODEC', 'Device_1', 'hw:CARD=Device_1,DEV=1'"),
        ("pnp", "could be any of"),
        ("1", "is an index"),
        ("hw:1,0", "is not here"),
        ("Scarlett", "is not here; there is 'CODEC'"),
        ("hw:CARD=CODEC,DEV=7", "is not here"),
    ],
)
def test_what_is_ambiguous_absent_or_an_index_is_refused(devices, wanted, reason):
    with pytest.raises(AudioError) as raised:
        choose(devices, wanted)
    assert reason in raised.value.reason
    assert raised.value.device == (wanted or "line input")
    assert raised.value.remedy


def test_no_device_at_all_says_what_to_connect():
    with pytest.raises(AudioError, match="there is no capture device; connect a sound card"):
        choose([], "")


@pytest.mark.parametrize("there", [[], ["CODEC"]])
def test_a_sound_server_that_is_not_there_is_to_be_started_and_not_connected(devices, there):
    with pytest.raises(AudioError, match=r"pulse: is not here; there is .*start the sound server") as raised:
        choose([device for device in devices if device.setting in there], "pulse")
    assert raised.value.code == ABSENT
    assert "connect" not in raised.value.remedy


def test_virtual_devices_are_not_taken_unless_named(devices):
    with pytest.raises(AudioError, match="there is no sound card; there is 'default', 'k1edge_in'"):
        choose([d for d in devices if not d.card_id], "")


CODEC = described(1, "USB Audio CODEC: USB Audio (hw:1,0)", 2, {1: Card("CODEC", "USB Audio CODEC")})


def test_what_portaudio_cannot_open_is_there_and_closed_and_an_output_is_not(cards):
    found = with_closed([CODEC], cards)
    assert [(device.setting, device.name, device.closed) for device in found] == [
        ("CODEC", "USB Audio CODEC: USB Audio", False), ("Device_1", "USB PnP Sound Device: USB Audio", True)]  # fmt: skip


def test_a_kernel_without_sound_has_nothing_that_is_closed(tmp_path):
    assert with_closed([CODEC], tmp_path / "none") == [CODEC]


@pytest.mark.parametrize(
    "wanted", ["Device_1", "hw:CARD=Device_1", "plughw:Device_1,0", "pnp", "USB PnP Sound Device: USB Audio"]
)
def test_a_card_in_use_is_not_said_to_be_absent(cards, wanted):
    with pytest.raises(AudioError, match=r"Device_1: is in use, or not for this user.*group `audio`") as raised:
        choose(with_closed([CODEC], cards), wanted)
    assert raised.value.code == BUSY


PIPEWIRE = "Name:\tpipewire\nUmask:\t0022\nTgid:\t812\nPid:\t815\n"
ARECORD = "Name:\tarecord\nUmask:\t0022\nTgid:\t815\nPid:\t815\n"
K1EDGE = "Name:\tk1edge\nUmask:\t0077\nTgid:\t900\nPid:\t900\n"


@pytest.mark.parametrize(
    ("number", "status", "said", "remedy"),
    [
        (815, PIPEWIRE, "by pipewire (process 812)", "sound server off it"),
        (815, ARECORD, "by arecord (process 815)", "systemctl stop k1edge"),
        (900, K1EDGE, "by k1edge (process 900)", "systemctl stop k1edge"),
        (901, "", "by process 815", "sudo k1edge devices"),
    ],
    ids=["a thread", "a process", "one whose thread has ended", "one that may not be looked at"],
)
def test_who_holds_a_card_is_said_as_far_as_it_may_be_known(cards, number, status, said, remedy):
    for sub, told in enumerate(("closed\n", "state: RUNNING\nowner_pid   : 815\ntrigger_time: 66.539696820\n")):
        place = cards.with_name("card3") / "pcm0c" / f"sub{sub}" / "status"
        place.parent.mkdir(parents=True)
        place.write_text(told)
    process = cards.parent.parent / str(number)
    (process / "fd").mkdir(parents=True)
    (process / "fd" / "7").symlink_to("/dev/snd/pcmC3D0c")
    (process / "status").write_text(status)
    with pytest.raises(AudioError) as raised:
        choose(with_closed([CODEC], cards), "Device_1")
    assert raised.value.reason == f"is in use {said}"
    assert remedy in raised.value.remedy


def test_the_only_card_is_meant_while_it_is_in_use(cards):
    cards.with_name("pcm").write_text(PCMS.replace("03-00: USB Audio : USB Audio : capture 1\n", ""))
    with pytest.raises(AudioError, match="CODEC: is in use"):
        choose(with_closed([Device(6, "default", 2)], cards), "")


def test_a_card_is_not_taken_unasked_because_another_is_in_use(cards):
    with pytest.raises(AudioError, match=r"could be any of 'CODEC', 'Device_1' \(in use\)"):
        choose(with_closed([CODEC], cards), "")
