"""The scripts are sound, and name no registry."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("setup", "run", "test", "lock", "broker-setup", "install", "uninstall", "rehearse-install", "audit", "check-arm64")
SCRIPTS = [*(ROOT / "scripts" / name for name in NAMES), ROOT / ".ci" / "run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_strict_and_parses(script):
    assert os.access(script, os.X_OK)
    assert "\nset -euo pipefail\n" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_explains_itself_at_once(tmp_path, name):
    for folder in ("scripts", "config/mosquitto"):
        (tmp_path / folder).mkdir(parents=True)
    alone = shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")  # with nothing that it could set up
    done = subprocess.run([alone, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"scripts/{name}" in done.stdout
    assert "#" not in done.stdout and "set -" not in done.stdout
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name]


def test_an_unknown_option_is_refused_in_words():
    done = subprocess.run([ROOT / "scripts" / "setup", "--tset"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "setup: unknown option --tset; usage: scripts/setup [--test]\n"


def test_an_environment_that_was_given_up_half_way_is_made_anew(tmp_path):
    for name in ("scripts/setup", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)  # by Ctrl-C, say
    (tmp_path / "bin").mkdir()
    for name, does in (("dpkg-query", "printf installed"), ("python3", 'if [ "$1" = -m ]; then echo "$@"; exit 9; fi')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / "scripts" / "setup"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "-m venv --clear .venv\n")


def test_a_range_of_letters_is_the_same_in_every_language():
    ranged = [script for script in SCRIPTS if re.search(r"\[[^]]*a-z|\[:(?:upper|lower):\]", script.read_text())]
    assert {script.name for script in ranged} == {"setup", "broker-setup", "install"}
    assert not [script.name for script in ranged if "\nset -euo pipefail\nexport LC_ALL=C.UTF-8 " not in script.read_text()]


def test_nothing_names_a_registry():
    for path in (*SCRIPTS, ROOT / "requirements.lock", ROOT / "requirements-build.lock", ROOT / "pyproject.toml"):
        assert not re.search(r"https?://|--index-url|--find-links |pypi\.org", path.read_text()), path


def test_an_installation_takes_nothing_from_a_registry_but_by_its_hash():
    takes = [line for line in (ROOT / "scripts/install").read_text().splitlines() if '"${pip[@]}" install' in line]
    assert len(takes) == 3
    for line in takes:
        assert "--require-hashes --only-binary :all:" in line or "--no-deps --no-index" in line, line
