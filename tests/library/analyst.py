"""Stands in for the analysis in tests of the queue: does what the song's text says, well or badly.

A song is `fLaC` and then some words: `ok`, `slow SECONDS`, `held` (until a file `go` is beside it), `hang`, `long SECONDS`
(says it lasts so long, and hangs), `segv`, `hungry`, `invalid`, `nothing`, `silence`, `chatty`, `torn`, `exit CODE`. It
imports nothing of k1edge that takes time: the queue is what is tested. Its map is that of an engine of its own, whose seal
nobody checks: all there is of the song in it is its hash.
"""

import ctypes
import hashlib
import json
import os
import sys
import time
from pathlib import Path

SONG, OUTPUT = Path(sys.argv[1]), Path(sys.argv[3])
UNKNOWN = b"5e" * 32
MAP = Path(__file__).with_name("analyst.genesis.json").read_bytes()


def tell(**report) -> None:
    print(json.dumps(report), flush=True)


def main() -> int:
    word, *arguments = SONG.read_bytes()[4:].decode().split()
    if word == "long":
        tell(lasts_s=float(arguments[0]))
    tell(stage="beats", progress=0.3)
    print("listening", file=sys.stderr, flush=True)
    if word == "slow":
        time.sleep(float(arguments[0]))
    elif word == "held":
        while not SONG.with_name("go").exists():
            time.sleep(0.01)
    elif word in ("hang", "long"):
        time.sleep(1000)
    elif word == "segv":
        ctypes.string_at(0)
    elif word == "hungry":
        bytearray(10**9)
    elif word == "silence":
        tell(code="NO_MUSIC", reason="there is no beat in it")
        return 3
    elif word == "exit":
        print("the decoder gave up", file=sys.stderr)
        return int(arguments[0])
    elif word == "chatty":
        for n in range(5000):
            print(f"line {n} " + "x" * 400, file=sys.stderr)
            print("not a report " * 20)
    if word == "torn":
        OUTPUT.write_bytes(MAP[:-20])
    elif word == "invalid":
        OUTPUT.write_text('{"metadata": {}}')
    elif word != "nothing":
        with OUTPUT.open("wb") as file:
            file.write(MAP.replace(UNKNOWN, hashlib.sha256(SONG.read_bytes()).hexdigest().encode()))
            os.fsync(file.fileno())
    return 0


sys.exit(main())
