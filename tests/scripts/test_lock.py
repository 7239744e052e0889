"""The lock holds what an installation needs, by hashes, for every machine."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def locked() -> dict[str, list[Requirement]]:
    """The pinned requirements by name; one name may have several, for different Pythons."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^([A-Za-z0-9].*?) \\$", LOCK, re.MULTILINE):
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_every_dependency_is_locked_to_a_version_that_fits():
    pins = locked()
    for wanted in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]):
        for pin in pins[canonicalize_name(wanted.name)]:
            (version,) = (each.version for each in pin.specifier)
            assert wanted.specifier.contains(version), wanted


def test_every_pin_has_hashes():
    for block in re.split(r"\n(?=[A-Za-z0-9])", LOCK.split("\n", 2)[2]):
        assert re.search(r"^[\w.-]+==\S+.*( \\\n    --hash=sha256:[0-9a-f]{64})+", block), block[:80]


def test_compiled_packages_are_locked_for_many_platforms():
    # One wheel per Python, system and machine: a lock made for one machine alone would have a single hash.
    for name in ("numpy", "pydantic-core", "cffi", "aubio-ledfx"):
        block = LOCK.split(f"\n{name}==")[1].split("\n    # via")[0]
        assert block.count("--hash") > 8, name
