"""What the daemon hears, and who hears the daemon."""

import pytest
import soundfile

from k1edge.audio.synth import four_on_the_floor
from tests.end_to_end.daemon import Ear


@pytest.fixture(scope="session")
def song(tmp_path_factory):
    """The path of a minute of music at 125 bpm."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    sound = four_on_the_floor(125.0, 60.0)
    soundfile.write(path, sound.samples, sound.rate_hz)
    return path


@pytest.fixture
def ear(mosquitto):
    with Ear(mosquitto.settings()) as listening:
        yield listening
