"""`k1edge devices`: the sound cards that can be listened to, and how to name each in the configuration."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

from k1edge.audio import AudioError
from k1edge.audio.cards import Device
from k1edge.audio.linein import list_devices
from k1edge.programs.options import fail


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
The first column is what stands in the configuration, `[audio] device = "CODEC"`: a name stays, an index changes.
A card that you may not open counts as "in use": your user must be in the group `audio`. `default`, `pipewire` and `pulse` are
the sound server of the user who asks, which the service does not reach; `pactl set-default-source NAME` says what they hear.
Of these, `pulse` is the one to name: the others lose sound where PipeWire's quantum is above 1024.

examples:
  k1edge devices
  k1edge devices --json | jq -r '.[].setting'

exit code: 0 there is a card with an input, 69 there is none"""
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")


def main(args: argparse.Namespace) -> int:
    try:
        devices = list_devices()
    except AudioError as error:
        return fail("devices", error, os.EX_UNAVAILABLE)
    if args.json:
        print(json.dumps([asdict(device) | {"setting": device.setting} for device in devices], indent=2))
    elif devices:
        width = max(len(repr(device.setting)) for device in devices)
        print(f"{'[audio] device =':<{width}}  channels  rates Hz      name")
        for device in devices:
            print(f"{device.setting!r:<{width}}  {device.channels or '':>8}  {_rates(device):<12}  {device.name}")
    if not devices:
        print("no sound card to listen to: connect one with a line input (a Pi has none of its own)", file=sys.stderr)
        return os.EX_UNAVAILABLE
    return 0


def _rates(device: Device) -> str:
    if device.closed or device.stuck:
        return f"in use{device.holder and ' by '}{device.holder}" if device.closed else "does not answer"
    return ", ".join(map(str, device.rates_hz)) or "neither 44100 nor 48000"
