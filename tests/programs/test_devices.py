"""`k1edge devices`: what can be listened to, and what cannot be just now."""

import json
import os
from argparse import Namespace

import pytest

from k1edge.audio.cards import Device
from k1edge.programs import devices

FREE = Device(1, "USB Audio CODEC: USB Audio", 2, "CODEC", rates_hz=(44_100, 48_000))
FAST = Device(2, "Studio: USB Audio", 8, "Studio")
HUNG = Device(3, "pulse", 32, stuck=True)
TAKEN = Device(-1, "CODEC: USB Audio", 0, "CODEC", closed=True, holder="pipewire (process 812)")
HELD = Device(-1, "HiFiBerry: ADC", 0, "sndrpihifiberry", closed=True)


@pytest.fixture
def listed(monkeypatch, capsys):
    """What the program says, and its exit code."""

    def run(*found, as_json=False):
        monkeypatch.setattr(devices, "list_devices", lambda: list(found))
        return devices.main(Namespace(json=as_json)), capsys.readouterr().out

    return run


def test_a_card_is_in_use_when_it_cannot_be_opened_and_not_when_it_offers_neither_rate(listed):
    code, said = listed(FREE, FAST, HUNG, HELD, TAKEN)
    assert code == 0
    assert [" ".join(line.split()) for line in said.splitlines()[1:]] == [
        "'CODEC' 2 44100, 48000 USB Audio CODEC: USB Audio",
        "'Studio' 8 neither 44100 nor 48000 Studio: USB Audio",
        "'pulse' 32 does not answer pulse",
        "'sndrpihifiberry' in use HiFiBerry: ADC",
        "'CODEC' in use by pipewire (process 812) CODEC: USB Audio",
    ]


def test_scripts_are_told_what_is_closed(listed):
    told = json.loads(listed(FREE, HELD, as_json=True)[1])
    assert [(each["setting"], each["closed"]) for each in told] == [("CODEC", False), ("sndrpihifiberry", True)]


def test_without_any_card_the_exit_code_says_so(listed):
    assert listed()[0] == os.EX_UNAVAILABLE
