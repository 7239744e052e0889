"""What the README shows exists, and what it says to type works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from k1edge.__main__ import PROGRAMS
from k1edge.config import Settings, load
from k1edge.k1 import contract

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):#]+)\)", README))))
def test_what_it_links_to_is_there(target):
    assert (ROOT / target).exists()


def test_a_module_it_names_is_there():
    named = set(re.findall(r"`((?:\w+/)*(?:\w+\.py|\w+/))`", README.partition("## The programs")[0]))
    there = [f"/{path.relative_to(ROOT)}{'/' * path.is_dir()}" for path in (ROOT / "k1edge").rglob("*")] + ["/k1edge/"]
    there += [f"/{path.relative_to(ROOT)}" for path in (ROOT / "scripts").rglob("*.py")]
    assert "decision.py" in " ".join(named)
    assert not {name for name in named if not any(path.endswith(f"/{name}") for path in there)}


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


def test_the_table_of_topics_says_what_is_retained_and_at_which_quality():
    """Where two topics share a row, they are alike, or the row says one after the other."""
    rows = re.findall(r"^\| (`.*?) \|.*\| ([\w, ]+) \| (\d) \|$", README, re.MULTILINE)
    told = {}
    for topics, retained, qos in rows:
        leaves = [re.sub("<(.*?)>", r"{\1}", leaf) for leaf in re.findall(r"`([^`]+)`", topics)]
        words = retained.split(", ") * (len(leaves) if "," not in retained else 1)
        told |= {leaf: (word == "yes", int(qos)) for leaf, word in zip(leaves, words, strict=True)}
    requests = {"request/{verb}": contract.Request, "response/{verb}": contract.Response}
    real = {model.LEAF: model for model in contract.EDGE_MESSAGES} | requests
    assert told == {leaf: (model.RETAIN, model.QOS) for leaf, model in real.items()}


@pytest.mark.parametrize("table, key", sorted(set(re.findall(r"`\[([a-z_.0-9]+)\]\s+([a-z_]+)", README))))
def test_a_key_it_names_is_one_of_the_configuration(table, key):
    assert key in type(getattr(Settings(), table)).model_fields


def test_a_code_it_names_is_one_that_is_told():
    said = "\n".join(path.read_text() for path in (ROOT / "k1edge").rglob("*.py"))
    (table,) = re.findall(r"^## Troubleshooting\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    codes = set(re.findall(r"`([A-Z][A-Z0-9_]+[A-Z0-9])`", table))
    assert "TWO_EDGES" in codes
    assert not {code for code in codes if f'"{code}"' not in said and f'"AUDIO_{code}"' not in said}


def test_each_decision_stands_once_in_a_section_of_the_contents():
    text = (ROOT / "DECISIONS.md").read_text()
    titles = [" ".join(title.split()) for title in re.findall(r"^\*\*20[\d-]+ - (.*?)\*\*", text, re.MULTILINE | re.DOTALL)]
    assert not {title for title in titles if titles.count(title) > 1}
    assert re.findall(r"^- \[(.*?)\]\(#", text, re.MULTILINE) == re.findall(r"^## (.*)$", text, re.MULTILINE)


def test_its_configuration_has_no_fault(tmp_path):
    (tmp_path / "mqtt-password").write_text("secret")
    (tmp_path / "ca.crt").touch()
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
