"""Works off a queue until it is empty: `queue_process.py STATE MUSIC SONG...`. Made to be killed at any moment."""

import sys
import time
from pathlib import Path

from k1edge.library import worker
from k1edge.library.errors import LibraryError
from k1edge.library.jobs import Jobs
from k1edge.library.rules import Rules
from k1edge.library.store import Library

ANALYST = [sys.executable, "-S", str(Path(__file__).with_name("analyst.py"))]


def main() -> int:
    state, music, *songs = sys.argv[1:]
    worker.NICE = 0  # the tests wait for it
    library = Library(Path(state))
    jobs = Jobs(library, Rules(Path(music), ANALYST), report=lambda job: None)
    for song in songs:
        try:
            jobs.submit(song)
        except LibraryError as fault:
            print(fault)
    print("ready", flush=True)
    while jobs.counts()["queued"] or jobs.counts()["active"]:
        jobs.step()
        time.sleep(0.005)
    return 0


if __name__ == "__main__":
    sys.exit(main())
