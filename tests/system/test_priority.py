"""Each claim in a process of its own: what is tried here must not stick to the tests."""

import os
import subprocess
import sys

import pytest

SAID = """
import os, resource, subprocess, sys, threading
from k1edge.system.priority import LOOP, real_time

def policy():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK

if sys.argv[1] == "refused":
    def refuse(*_):
        raise PermissionError
    os.sched_setscheduler = refuse
elif sys.argv[1] == "ordinary user":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    os.setgid(65534), os.setuid(65534)
with real_time(LOOP) as granted:
    own, seen = policy(), []
    thread = threading.Thread(target=lambda: seen.append(policy()))
    thread.start(), thread.join()
    child = ["cut", "-d ", "-f41", "/proc/self/stat"]  # its policy: proc(5)
    seen.append(int(subprocess.run(child, capture_output=True, check=True).stdout))
print(granted, own == os.SCHED_FIFO, seen, policy() == os.SCHED_OTHER)
"""


def said(*how: str) -> str:
    done = subprocess.run([sys.executable, "-c", SAID, *how], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_loop_alone_gets_real_time_and_gives_it_back():
    assert said("granted") in ("True True [0, 0] True", said("refused")), "or this machine grants none"


def test_without_the_right_to_it_all_goes_on_as_before():
    assert said("refused") == "False False [0, 0] True"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user with other limits")
def test_an_ordinary_user_without_a_limit_of_its_own_gets_none():
    assert said("ordinary user") == said("refused")
