"""A broker of our own stands where a venue's would only where that is what was asked for."""

import pytest

from k1edge.daemon import broker
from k1edge.daemon.broker import broker_for
from k1edge.daemon.startup import begin
from k1edge.system.broker import LOOPBACK
from tests.brokers import free_ports, listening


@pytest.fixture
def usual(monkeypatch):
    """Stand in for the usual ports, which may be taken on the machine of the tests."""
    ports = free_ports(2)
    monkeypatch.setattr(broker, "USUAL_PORTS", ports)
    return ports


@pytest.fixture
def start(tmp_path):
    """Begins with this text as the file, as under systemd."""
    file = tmp_path / "k1edge.toml"

    def started(text):
        file.write_text(text)
        return begin(file, {}, {"STATE_DIRECTORY": str(tmp_path / "state"), "NOTIFY_SOCKET": "x"})

    return started


def test_our_own_takes_the_usual_ports_where_no_broker_is_configured(usual, start):
    with broker_for(start("[log]\n")) as (settings, _):
        assert settings.url == f"mqtt://{LOOPBACK}:{usual[0]}"
        assert all(map(listening, usual))


@pytest.mark.parametrize("faulty", ["]", "[mqtt]\nurl = '10.0.0.5'\n"])
def test_in_place_of_a_broker_that_could_not_be_made_out_it_leaves_them_free(usual, start, faulty):
    with broker_for(start(faulty)) as (settings, _):
        assert settings.url
        assert not any(map(listening, usual))
