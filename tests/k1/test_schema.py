"""The committed documents are what the classes say, are valid, and describe what is really sent."""

from __future__ import annotations

import ast
import inspect
import json
import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from k1edge.device_facts import PALETTES, PARAMETERS
from k1edge.frames import SECTION_LABELS
from k1edge.genesis.decision import MOMENTS
from k1edge.k1 import contract
from k1edge.k1.contract import schema
from k1edge.k1.contract.device import LATE_MS, SCENE_WINDOW_MS, STALE_MS
from k1edge.k1.contract.edge import EVENT_KINDS
from k1edge.k1.contract.message import SMALL_BYTES
from k1edge.k1.contract.schema import ASYNCAPI, JSON_SCHEMA, MESSAGES, committed
from tests.in_terminal import told
from tests.k1.examples import EXAMPLES

REMEDY = (
    "the contract has changed: .venv/bin/k1edge contract --generate > k1edge/k1/contract/contract.schema.json; "
    ".venv/bin/k1edge contract --generate --asyncapi > k1edge/k1/contract/asyncapi.json; then commit both"
)
FROZEN = json.loads(Path(__file__).with_name("topics-v1.json").read_text())
"""Topic, QoS, retain and required keys of version 1: an old receiver relies on them. Additions are fine."""


def validator(model, document):
    described = document["properties"][model.__name__] | {"$defs": document["$defs"]}
    return jsonschema.Draft202012Validator(described)


@pytest.fixture(scope="module")
def document():
    """What the classes say, so that a change of theirs is one fault below, and not one for each message."""
    return json.loads(schema.text(schema.json_schema()))


def test_the_committed_json_schema_is_what_the_classes_say():
    assert committed(JSON_SCHEMA) == schema.text(schema.json_schema()), REMEDY


def test_the_committed_asyncapi_document_is_what_the_classes_say():
    assert committed(ASYNCAPI) == schema.text(schema.asyncapi()), REMEDY


def test_no_two_verbs_say_that_they_do_the_same():
    assert len({verb.purpose for verb in contract.VERBS.values()}) == len(contract.VERBS)


def test_the_kinds_of_events_are_those_that_are_told():
    sources = [path.read_text() for path in Path(contract.__file__).parents[2].rglob("*.py")]
    told = {kind for source in sources for kind in re.findall(r'contract\.Event, [\w.]+,\s+kind="(\w+)"', source)}
    assert {"alarm", "config", "override", "auto_rollback"} <= told <= set(EVENT_KINDS)
    assert set(MOMENTS) < set(EVENT_KINDS)


def test_a_summary_is_whole_sentences():
    summaries = {name: operation["summary"] for name, operation in schema.asyncapi()["operations"].items()}
    assert not {name: summary for name, summary in summaries.items() if not summary.endswith(".") or "\n" in summary}


def test_the_json_schema_is_a_schema(document):
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["type"] == "object"  # strict validators refuse `properties` without it


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.__name__)
def test_what_is_sent_is_what_the_schema_describes(model, document):
    said = json.loads(contract.encode(model(**EXAMPLES[model])))
    validator(model, document).validate(said)


@pytest.mark.parametrize("model", MESSAGES, ids=lambda model: model.__name__)
def test_the_schema_refuses_a_message_with_a_wrong_type(model, document):
    said = json.loads(contract.encode(model(**EXAMPLES[model]))) | {"seq": "five"}
    with pytest.raises(jsonschema.ValidationError):
        validator(model, document).validate(said)


@pytest.mark.parametrize("model", [m for m in MESSAGES if m.DIRECTION == "edge-out"], ids=lambda model: model.__name__)
def test_a_subscriber_may_count_on_every_key_that_is_always_there_and_on_no_null(model, document):
    needed = {name: value for name, value in EXAMPLES[model].items() if model.model_fields[name].is_required()}
    described = document["$defs"][model.__name__]
    assert set(described["required"]) == set(json.loads(contract.encode(model(**needed))))
    assert "null" not in json.dumps(described)


@pytest.mark.parametrize("model", [m for m in MESSAGES if m.LIMIT_BYTES == SMALL_BYTES], ids=lambda model: model.__name__)
def test_what_a_small_client_follows_fits_the_buffer_that_the_contract_names(model, document):
    name = "a" * 63
    where = contract.topic(model, name, name)
    properties = len("application/json") + 3 + 5 + 1  # content type, expiry and their length, as MQTT 5 has them
    assert model.LIMIT_BYTES + len(where) + 7 + properties <= 1280
    assert "1,280" in document["description"]


@pytest.mark.parametrize("name", ["Beat", "Frame", "TempoMap", "TempoState", "SectionState"])
def test_a_lamp_of_its_own_can_follow_the_music_with_a_small_buffer(name):
    model = getattr(contract, name)
    many = {"alternatives": ({"bpm": 123.45, "probability": 0.123},) * 8, "bands": (123.45,) * 40, "label": "a" * 64}
    said = EXAMPLES[model] | {key: value for key, value in many.items() if key in model.model_fields}
    contract.encode(model(**said))
    assert model.LIMIT_BYTES == SMALL_BYTES


def test_each_type_that_a_generator_makes_has_a_name_of_its_own(document):
    titles = re.findall(r'"title": "([^"]*)"', json.dumps(document["$defs"]))
    assert len(titles) == len(set(titles))
    assert {"StatusState", "JobState", "DeploymentDevices", "TrackGetArgumentsLayers"} <= set(titles)


def test_the_patterns_hold_nothing_that_some_languages_cannot_read(document):
    found = re.findall(r'"(?:pattern|patternProperties)": (?:{)?("[^"]*")', json.dumps(document))
    patterns = {json.loads(each) for each in found}
    assert len(patterns) > 3
    assert not {each for each in patterns if re.search(r"\\(?!x[0-7])", each)}, "Go has no \\u; C++ reads bytes, some negative"


@pytest.mark.parametrize("name", FROZEN)
def test_version_1_keeps_what_old_receivers_rely_on(name, document):
    now = document["properties"][name]
    assert {key: now[f"x-{key}"] for key in ("topic", "qos", "retain")} == {
        key: FROZEN[name][key] for key in ("topic", "qos", "retain")
    }
    keys = document["$defs"][now["$ref"].removeprefix("#/$defs/")]["properties"]
    assert set(FROZEN[name]["keys"]) <= set(keys)


def test_the_asyncapi_document_holds_together():
    document = schema.asyncapi()
    text = json.dumps(document)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        inner = document
        for step in reference.split("/"):
            inner = inner[step]
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == set(document["operations"]) == {model.__name__ for model in MESSAGES}
    for channel in document["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))


def test_what_the_classes_say_of_a_field_is_in_the_document(document):
    said = {}
    for path in Path(contract.__file__).parent.glob("*.py"):
        for made in (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)):
            for field, text in pairwise(made.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and made.name in document["$defs"]:
                    said[made.name, field.target.id] = inspect.cleandoc(text.value.value)
    assert said["NudgeArguments", "ms"]
    assert said["BeatsOverrideArguments", "ops"]
    told = {(name, field): document["$defs"][name]["properties"][field].get("description") for name, field in said}
    assert told == said


@pytest.mark.parametrize("verb", contract.VERBS)
def test_a_request_without_arguments_is_one_for_the_schema_where_it_is_one_for_the_edge(verb, document):
    try:
        contract.decode(f"k1/v1/attic/edge/pi-1/request/{verb}", b'{"id": "1"}')
    except contract.ContractError:
        taken = False
    else:
        taken = True
    assert validator(contract.REQUESTS[verb], document).is_valid({"id": "1"}) == taken


@pytest.mark.parametrize(
    ("name", "limit_ms"), [("MacroCommand", STALE_MS), ("BeatCommand", LATE_MS), ("SceneCommand", SCENE_WINDOW_MS)]
)
def test_a_k1_is_told_what_it_must_keep_to(name, limit_ms, document):
    assert f" {limit_ms} ms" in document["$defs"][name]["description"]


def test_receivers_are_told_how_sections_palettes_and_codes_are_called(document):
    told = {name: its.get("properties") for name, its in document["$defs"].items()}
    assert told["SectionState"]["label"]["examples"] == told["SegmentCommand"]["label"]["examples"] == list(SECTION_LABELS)
    assert told["SceneCommand"]["palette_id"]["x-names"] == list(PALETTES)
    assert told["Response"]["code"]["examples"] == list(contract.CODES)


def test_receivers_are_told_the_ranges_of_all_parameters(document):
    ranges = document["$defs"]["SceneCommand"]["properties"]["parameters"]["x-ranges"]
    assert set(ranges) == set(PARAMETERS)
    assert ranges["brightness_floor"] == {"minimum": 0.0, "maximum": 0.3, "default": 0.05}


@pytest.mark.parametrize(
    ("options", "document"),
    [(["--json"], committed(JSON_SCHEMA)), (["--asyncapi"], committed(ASYNCAPI)), ([], committed(JSON_SCHEMA)),
     (["--asyncapi", "--generate"], schema.text(schema.asyncapi()))],
    ids=["--json", "--asyncapi", "nothing", "--generate"],
)  # fmt: skip
def test_the_program_prints_the_document(capsys, options, document):
    assert told(capsys, "contract", *options) == (0, document, "")
