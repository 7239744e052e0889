import subprocess
import sys
import threading
import time

from k1edge.errand import Errand
from tests.brokers import PATIENCE_S


def test_an_errand_is_over_when_its_work_is():
    go, done = threading.Event(), []
    errand = Errand(lambda: (go.wait(PATIENCE_S), done.append(1)))
    assert not errand.wait(0) and not done
    go.set()
    assert errand.wait(PATIENCE_S) and done == [1]
    assert errand.wait(0)


def test_work_that_fails_is_over_and_its_fault_is_told(monkeypatch):
    told, said = [], threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: (told.append(fault.exc_type), said.set()))
    assert Errand(lambda: [][1]).wait(PATIENCE_S)
    assert said.wait(PATIENCE_S) and told == [IndexError]


def test_nobody_waits_longer_than_was_said():
    never, began_s = threading.Event(), time.monotonic()
    errand = Errand(lambda: never.wait(PATIENCE_S))
    assert not errand.wait(0.05)
    assert time.monotonic() - began_s < PATIENCE_S
    never.set()


WITHOUT_MEMORY = """
import resource, time
from k1edge.errand import Errand
Errand(int).wait(10)
time.sleep(0.2)  # it ends, and its stack is kept for the next thread: that one begins, and then finds no memory
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), resource.RLIM_INFINITY))
try:
    over = Errand(int).wait(0.2)
except OSError:
    over = False
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
print("went on", over)
"""


def test_who_begins_an_errand_when_no_memory_is_left_is_not_kept_waiting():
    ran = subprocess.run([sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True, timeout=PATIENCE_S)
    assert ran.stdout.startswith("went on"), ran.stderr
