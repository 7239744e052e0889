import subprocess
import sys

import pytest

from k1edge.system import memory

HOLES = """
import sys
from k1edge.system.memory import give_back_large_blocks

def own_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1000

if sys.argv[1] == "told":
    assert give_back_large_blocks()
large = b"x" * 3_000_000
del large
before, large, lasting = own_mb(), [], []
for _ in range(10):
    large.append(b"x" * 3_000_000)
    lasting.append(b"y" * 100_000)
del large
print(own_mb() - before)
"""


def left_mb(told: str) -> float:
    done = subprocess.run([sys.executable, "-c", HOLES, told], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_holes_between_what_lives_longer_go_back_to_the_system():
    assert left_mb("told") < 3
    assert left_mb("untold") > 15, "the allocator does it by itself now: this module has had its day"


@pytest.mark.parametrize("library", [object(), None])
def test_another_c_library_is_left_alone(monkeypatch, library):
    def load(name):
        if library is None:
            raise OSError
        return library

    monkeypatch.setattr(memory.ctypes, "CDLL", load)
    assert memory.give_back_large_blocks() is False
    assert memory.stay_in_memory() is False


LOCKED = """
from k1edge.system.memory import stay_in_memory

def locked_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmLck"))

granted = stay_in_memory()
print(granted, locked_kb() > 0)
"""


def test_what_is_in_use_is_locked_where_that_is_granted():
    done = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, check=True)
    assert done.stdout.split() in (["True", "True"], ["False", "False"])
