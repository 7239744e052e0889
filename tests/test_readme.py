"""What the README shows exists, and what it says to type works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from k1edge.__main__ import PROGRAMS
from k1edge.config import load
from k1edge.k1 import contract

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):#]+)\)", README))))
def test_what_it_links_to_is_there(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("script", sorted(set(re.findall(r"\bscripts/([\w-]+)", README))))
def test_a_script_it_names_can_be_run(script):
    assert (ROOT / "scripts" / script).stat().st_mode & 0o100


def test_every_program_is_in_it_and_it_has_no_other():
    named = set(re.findall(r"`k1edge ([a-z]+)", README)) | set(re.findall(r"^k1edge ([a-z]+)", README, re.MULTILINE))
    assert named == set(PROGRAMS)


def test_every_topic_of_an_edge_is_in_it():
    (topics,) = re.findall(r"^## Topics\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    leaves = {model.LEAF.partition("/")[0] for model in contract.EDGE_MESSAGES}
    assert not [leaf for leaf in leaves if f"`{leaf}" not in topics]


def test_its_configuration_has_no_fault(tmp_path):
    (tmp_path / "mqtt-password").write_text("secret")
    (text,) = (block for language, block in BLOCKS if language == "toml")
    path = tmp_path / "k1edge.toml"
    path.write_text(text)
    settings = load(path, {})
    assert settings.mqtt.password.get_secret_value() == "secret"
    assert (settings.site, settings.k1.devices[0].latency_ms) == ("blue-room", 25.0)


def test_the_requests_it_publishes_are_understood():
    published = re.findall(r"mosquitto_pub -t (\S+/request/\S+) \\\n\s+-m '([^']+)'", README)
    assert published
    for topic, payload in published:
        assert contract.decode(topic, payload.encode()).verb == topic.rpartition("/")[2]
        json.loads(payload)
