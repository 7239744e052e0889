"""The contract as documents: JSON Schema (2020-12) and AsyncAPI 3, made from the message classes.

Consumes the classes; emits JSON documents as dicts. The committed copies beside this file are what `k1edge contract`
prints; a test compares them with the classes. What an edge tells is described as it is sent (what may be missing is never
null, all else is there), what anyone may send as it may come (keys with a default may be missing).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from k1edge.k1.contract.device import COMMANDS, REPORTS
from k1edge.k1.contract.edge import EDGE_MESSAGES
from k1edge.k1.contract.message import PRINTABLE, ROOT, VERSION, Message
from k1edge.k1.contract.requests import REQUESTS, Request, Response

JSON_SCHEMA = "contract.schema.json"
ASYNCAPI = "asyncapi.json"
TITLE = "k1edge MQTT contract"
_ABOUT = (
    "Between an edge that listens to the music, the K1 lights it drives and anyone who subscribes. UTF-8 JSON; only an empty "
    "payload is none: what was retained at its topic is no more. Receivers ignore unknown keys; an integer has no point and no "
    "exponent, and an edge writes any other number with one, so that no field changes its type. An epoch in ms needs 64 bits: "
    "a float of 32 is a minute off. Works fully on MQTT 3.1.1; on MQTT 5 the publisher may add message expiry and content "
    "type, which repeat what the JSON says, and a request may name a response topic outside `k1/`: a copy of the response goes "
    "there, with the correlation data. A payload has at most `x-limit-bytes`; topic and header add up to 200, so a client with "
    "a fixed buffer, which is often 256 bytes and says nothing of what is larger, needs 1,280 for what a K1 is sent, and for "
    "beats, tempo map, frames and sections."
)
_PORTABLE = r"^[^\x00-\x1f\x7f]*$"
"""Of `PRINTABLE`, what every engine for regular expressions can read: Go has no `\\u`, and C++ reads bytes."""
MESSAGES: tuple[type[Message], ...] = (*EDGE_MESSAGES, *REQUESTS.values(), Response, *COMMANDS, *REPORTS)
_PARAMETERS = {
    "site": "The place: a-z, 0-9 and -.",
    "edge": "Id of the edge.",
    "device": "Id of the K1.",
    "kind": "What happened.",
    "id": "Id of the job or track.",
    "verb": "What was asked for.",
}


class _AsWritten(GenerateJsonSchema):
    """In the mode `serialization`, what `encode` writes. A field has no title but its name: generators make a type of each."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"]) if self.mode == "serialization" else super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        left_out = self.mode == "serialization" and schema.get("default", ...) is None
        return self.generate_inner(schema["schema"]) if left_out else super().default_schema(schema)

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        return super().str_schema(schema | {"pattern": _PORTABLE} if schema.get("pattern") == PRINTABLE else schema)

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization":
            return field["schema"].get("default", ...) is not None
        return super().field_is_required(field, total)


def json_schema() -> dict[str, Any]:
    """One definition for each message, by name, with its topic, QoS, retain and size limit."""
    shown = [(model, _mode(model)) for model in MESSAGES]
    refs, top = models_json_schema(shown, ref_template="#/$defs/{model}", schema_generator=_AsWritten)
    definitions = top["$defs"]
    for name, definition in definitions.items():
        for field, said in definition.get("properties", {}).items():
            _name_choices(said, name + field.title().replace("_", ""))
    for model in REQUESTS.values():  # a default that lacks what is needed is none
        if "required" in definitions[model.model_fields["args"].annotation.__name__]:
            definitions[model.__name__]["required"].append("args")
    messages = {}
    for model, mode in shown:
        messages[model.__name__] = {
            "$ref": refs[(model, mode)]["$ref"],
            "x-topic": _address(model),
            "x-qos": model.QOS,
            "x-retain": model.RETAIN,
            "x-direction": model.DIRECTION,
            "x-limit-bytes": model.LIMIT_BYTES,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{TITLE}, version {VERSION}",
        "description": _ABOUT,
        "type": "object",
        "properties": messages,
        "$defs": definitions,
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document, from the edge's point of view."""
    schema = json.loads(json.dumps(json_schema()).replace("#/$defs/", "#/components/schemas/"))
    models = {model.__name__: model for model in MESSAGES}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": f"{VERSION}.0.0", "description": _ABOUT, "license": {"name": "GPL-3.0-or-later"}},
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, model) for name, model in models.items()},
        "operations": {name: _operation(name, model) for name, model in models.items()},
        "components": {
            "messages": {name: _message(name, schema["properties"][name]) for name in models},
            "schemas": schema["$defs"],
        },
    }


def text(document: dict[str, Any]) -> str:
    """A document as it is committed and printed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _mode(model: type[Message]) -> JsonSchemaMode:
    return "serialization" if model.DIRECTION == "edge-out" else "validation"


def _name_choices(schema: Any, name: str) -> None:
    """Gives the choices of a field a name of their own: a generator makes one type of all that are called `State`."""
    if isinstance(schema, dict):
        if "enum" in schema:
            schema["title"] = name
        for inner in schema.values():
            _name_choices(inner, name)
    elif isinstance(schema, list):
        for inner in schema:
            _name_choices(inner, name)


def _address(model: type[Message]) -> str:
    node = "device/{device}" if model.DIRECTION in ("to-device", "from-device") else "edge/{edge}"
    return f"{ROOT}/{{site}}/{node}/{model.LEAF}"


def _channel(name: str, model: type[Message]) -> dict[str, Any]:
    address = _address(model)
    inside = [part[1:-1] for part in address.split("/") if part.startswith("{")]
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {level: {"description": _PARAMETERS[level]} for level in inside},
    }


def _operation(name: str, model: type[Message]) -> dict[str, Any]:
    heard = model.DIRECTION in ("edge-in", "from-device")
    binding: dict[str, Any] = {"qos": model.QOS, "retain": model.RETAIN, "bindingVersion": "0.2.0"}
    if model.EXPIRY_S is not None:
        binding["messageExpiryInterval"] = max(1, round(model.EXPIRY_S))
    operation: dict[str, Any] = {
        "action": "receive" if heard else "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": " ".join((model.__doc__ or "").partition("\n\n")[0].split()),
        "bindings": {"mqtt": binding},
    }
    if issubclass(model, Request):
        operation["reply"] = {"channel": {"$ref": "#/channels/Response"}}
    return operation


def _message(name: str, described: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": "application/json",
        "payload": {"$ref": described["$ref"]},
        "x-limit-bytes": described["x-limit-bytes"],
    }


def committed(name: str) -> str:
    """A document as it was released."""
    return files("k1edge.k1.contract").joinpath(name).read_text(encoding="utf-8")
