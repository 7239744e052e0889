"""Home Assistant's view of an edge: one retained message that describes it as a device with its sensors and controls.

Consumes who the edge is and which palettes go with which patterns; emits the publication. The schema is Home Assistant's
MQTT device discovery; its templates turn the contract's own messages into states, and its controls into requests, so that
nothing is published twice. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import get_args

from k1edge.device_facts import PATTERNS
from k1edge.frames import SECTION_LABELS
from k1edge.k1.contract.edge import OverrideState, SceneState, SectionState, Status, TempoState
from k1edge.k1.contract.message import Message, Publication
from k1edge.k1.contract.requests import CORRECTED, REQUESTS
from k1edge.k1.contract.wire import topic

PREFIX = "homeassistant"
"""Home Assistant's default; everyone keeps it."""
BIRTH_TOPIC = f"{PREFIX}/status"
BIRTH = b"online"
"""Said there after each start of Home Assistant, which has forgotten what is not retained, and on some brokers what is."""
LEASE_S = 3600
"""A scene or a hold asked for from Home Assistant ends by itself after an hour, should nobody end it."""
RELEASE_S = 0.001
"""A hold that ends at once, and with it whatever was held: a switch has one topic for on and off."""
SHOWN_AS = {"unknown": "undecided"}
"""A section that is not known yet; `unknown` means to Home Assistant that there is no state."""
CALLER = "home-assistant"
REQUEST_ID = "(now().timestamp() * 1000000) | int"


def discovery(site: str, edge: str, version: str, palettes: Mapping[str, int]) -> Publication:
    """The description of one edge; `palettes` gives a palette id to patterns, the first one's to those not named."""
    identity = f"k1edge-{site}-{edge}"
    components = {**_sensors(site, edge), **_controls(site, edge, palettes)}
    for name, component in components.items():
        component |= {"unique_id": f"{identity}-{name}", "qos": 1}  # 2025.4 passes over a QoS that is the device's
    status = topic(Status, site, edge)
    payload = {
        "device": {"identifiers": [identity], "name": f"k1edge {edge}", "manufacturer": "k1edge", "model": "Edge",
                   "sw_version": version, "suggested_area": site},
        "origin": {"name": "k1edge", "sw_version": version},
        "availability": [{
            "topic": status,
            # While it starts, what it retains is still that of its last life.
            "value_template": "{{ 'online' if value_json.state in ('ready', 'degraded') else 'offline' }}",
        }],
        "components": components,
    }  # fmt: skip
    return Publication(f"{PREFIX}/device/{identity}/config", json.dumps(payload).encode(), 1, True)


def _sensors(site: str, edge: str) -> dict[str, dict]:
    def sensor(name: str, model: type[Message], template: str, **more: object) -> dict:
        return {"platform": "sensor", "name": name, "state_topic": topic(model, site, edge),
                "value_template": "{{ " + template + " }}", **more}  # fmt: skip

    states = get_args(Status.model_fields["state"].annotation)
    return {
        "bpm": sensor("Tempo", TempoState, "value_json.bpm | round | int if value_json.lock else None",
                      state_class="measurement", unit_of_measurement="BPM", icon="mdi:metronome"),
        "confidence": sensor("Confidence", TempoState, "(value_json.confidence * 10) | round | int * 10",
                             state_class="measurement", unit_of_measurement="%", icon="mdi:check-decagram"),
        "section": sensor("Section", SectionState, f"{SHOWN_AS}.get(value_json.label, value_json.label)", device_class="enum",
                          options=[SHOWN_AS.get(label, label) for label in SECTION_LABELS], icon="mdi:music-note"),
        "health": sensor("Health", Status, "value_json.state", device_class="enum", options=list(states),
                         entity_category="diagnostic", json_attributes_topic=topic(Status, site, edge),
                         json_attributes_template="{{ {'code': value_json.code, 'reason': value_json.reason} | tojson }}",
                         icon="mdi:heart-pulse"),
    }  # fmt: skip


def _controls(site: str, edge: str, palettes: Mapping[str, int]) -> dict[str, dict]:
    hold = _request("hold", f"{{'lease_s': {LEASE_S} if value == 'ON' else {RELEASE_S}}}")
    usual = next(iter(palettes.values()), 0)
    palette = f"{json.dumps(dict(palettes))}.get(value, {usual})"
    scene = _request("scene", f"{{'pattern': value, 'palette': {palette}, 'lease_s': {LEASE_S}}}")
    return {
        "hold": {
            "platform": "switch", "name": "Hold", "icon": "mdi:hand-back-left",
            "state_topic": topic(OverrideState, site, edge),
            "value_template": f"{{{{ 'ON' if value_json.active and value_json.scope not in {CORRECTED} else 'OFF' }}}}",
            "command_topic": topic(REQUESTS["scene.hold"], site, edge), "command_template": hold,
        },
        "scene": {
            "platform": "select", "name": "Scene", "icon": "mdi:palette", "options": list(PATTERNS),
            "state_topic": topic(SceneState, site, edge), "value_template": "{{ value_json.pattern }}",
            "command_topic": topic(REQUESTS["scene.apply"], site, edge), "command_template": scene,
        },
    }  # fmt: skip


def _request(control: str, arguments: str) -> str:
    """A template that makes a request of a control's value; `arguments` is an expression. Each request has an id of its own,
    since a repeated one is answered and not done."""
    return f"{{{{ {{'id': '{control}-' ~ {REQUEST_ID}, 'caller': '{CALLER}', 'args': {arguments}}} | tojson }}}}"
