"""The file that is shipped, the defaults in the code and the K1's own limits say the same."""

import re
import tomllib
from pathlib import Path

import pytest

from k1edge.config import AudioSettings, Settings, load
from k1edge.config.settings import host_slug, slug
from k1edge.device_facts import PALETTES, PARAMETERS, PATTERNS, TRANSITIONS
from k1edge.frames import SECTION_LABELS

FILE = Path(__file__).parents[2] / "config" / "k1edge.toml"
RAINBOWS = {"Rainbow Sherbet", "Colorful"}
CENTRE_ORIGIN = {"bloom", "bloom_mirror", "beat_tunnel", "tunnel_glow", "pulse", "twilight", "departure"}


def comment_of(table: str, key: str) -> str:
    """The comment beside a key of a table of the shipped file."""
    text = FILE.read_text()
    body = text if not table else text.split(f"\n[{table}]\n")[1].split("\n[")[0]
    found = re.search(rf"^{key} = [^#]*#(.*)$", body, re.MULTILINE)
    assert found, f"{key} and a comment are to stand in [{table}] of config/k1edge.toml"
    return found[1]


def keys():
    """(table, key, its JSON Schema) of every key of a table."""
    schema = Settings.model_json_schema()
    for table, reference in schema["properties"].items():
        for key, about in schema["$defs"].get(reference.get("$ref", "/").rpartition("/")[2], {}).get("properties", {}).items():
            yield table, key, about


NUMBERS = [pytest.param(*at, its["minimum"], its["maximum"], id=at[1]) for *at, its in keys() if "minimum" in its]
CHOICES = [pytest.param(*at, its["enum"], id=at[1]) for *at, its in keys() if "enum" in its]


def test_the_shipped_file_is_the_defaults():
    assert load(FILE, {}) == load(None, {}) == Settings()


def test_the_shipped_file_spells_out_every_key():
    def missing(given: dict, effective: dict, path: str = ""):
        for key, value in effective.items():
            if key not in given:
                yield path + key
            elif isinstance(value, dict) and key not in ("parameters", "auto_latency_ms"):
                yield from missing(given[key], value, f"{path}{key}.")

    assert list(missing(tomllib.loads(FILE.read_text()), Settings().model_dump())) == ["mqtt.password"]


@pytest.mark.parametrize(("table", "key", "low", "high"), NUMBERS)
def test_every_number_is_commented_with_its_range(table, key, low, high):
    said = comment_of(table, key)
    assert re.search(rf"(?<![\d.]){re.escape(f'{low:g}')}\.\.{re.escape(f'{high:.15g}')}(?![\d.])", said)


@pytest.mark.parametrize(("table", "key", "choices"), CHOICES)
def test_every_choice_is_commented(table, key, choices):
    assert not [choice for choice in choices if str(choice) not in comment_of(table, key)]


def test_every_key_is_commented():
    for table, key, _ in keys():
        # The looks and their motions are explained above them; a password is never in the file.
        if table != "looks" and key not in ("motion", "password"):
            assert len(comment_of(table, key)) > 20, key


def test_every_pattern_palette_parameter_and_transition_is_named_in_the_shipped_file():
    words = " ".join(line.lstrip("# ") for line in FILE.read_text().splitlines() if line.startswith("#"))
    for name in (*PATTERNS, *PALETTES, *TRANSITIONS, *PARAMETERS):
        assert name in words, name


def test_the_k1_has_46_patterns_33_palettes_and_22_parameters():
    assert (len(set(PATTERNS)), len(set(PALETTES)), len(PARAMETERS)) == (46, 33, 22)
    assert (PATTERNS.index("prism"), PATTERNS.index("gravitational_lensing"), PALETTES.index("Lava")) == (3, 21, 23)


def test_there_is_a_look_for_every_section_and_for_no_music_and_none_is_a_rainbow():
    looks = Settings().looks
    assert set(looks) == {*SECTION_LABELS, "speech", "noise"}
    for look in looks.values():
        assert PALETTES[look.palette] not in RAINBOWS
        assert look.pattern in CENTRE_ORIGIN
    assert looks["silence"].parameters["brightness"] == 0


def test_a_drop_is_the_brightest_look_and_a_build_leaves_it_something_to_hit_with():
    settings = Settings()
    light = {label: look.parameters["brightness"] for label, look in settings.looks.items()}
    ramped = light["build"] + settings.rules.motion["build"].amount * (1 - light["build"])
    assert max(light, key=light.get) == "drop"
    assert light["breakdown"] < light["build"] < light["verse"] < ramped < 0.8 * light["drop"]


def test_site_and_edge_are_named_after_the_machine():
    assert Settings().site == Settings().edge == host_slug()
    assert Settings(site="club").edge == host_slug()


@pytest.mark.parametrize(
    ("name", "expected"), [("Pi_4 Küche", "pi-4-k-che"), ("---", "k1edge"), ("", "k1edge"), ("a" * 99, "a" * 63)]
)
def test_any_name_becomes_a_topic_level(name, expected):
    assert slug(name) == expected


def test_nothing_changes_once_it_is_loaded():
    with pytest.raises(ValueError, match="frozen"):
        Settings().audio.rate_hz = 44100
    with pytest.raises(ValueError, match="rate_hz"):
        AudioSettings(rate_hz=22050)


def test_who_changes_the_kind_of_a_motion_alone_sees_it_move():
    rules = Settings.model_validate({"rules": {"motion": {label: {"kind": "breathe"} for label in SECTION_LABELS}}}).rules
    assert all(motion.amount > 0.1 for motion in rules.motion.values())
