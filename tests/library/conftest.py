import pytest

from k1edge.library.store import Library


class Clock:
    """One that stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def steady():
    return Clock()


@pytest.fixture
def library(tmp_path, clock, steady):
    library = Library(tmp_path / "state", clock=clock, steady=steady)
    yield library
    library.close()
