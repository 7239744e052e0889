"""`scripts/install` below a folder of its own, with a Python and a systemd that only pretend: what is put where, and back.

The real thing, in a fresh Debian under a booted systemd, is `scripts/rehearse-install`.
"""

import os
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from k1edge.config import load

ROOT = Path(__file__).parents[2]
CARD = '[{"setting": "%s", "card_id": "%s"}]'

PYTHON = """#!/bin/bash
case "$*" in
    *purelib*) echo "$(dirname "$0")/../lib" ;;
    "-m venv "*)
        mkdir -p "$3/bin" "$3/lib"
        ln -s "$0" "$3/bin/python"
        cp "$(dirname "$0")/k1edge" "$3/bin/k1edge"
        ;;
    *" wheel "*) mkdir -p "${@: -2:1}" && touch "${@: -2:1}/k1edge.whl" ;;
    "-m pip"*) [ ! -e {state}/no-network ] ;;
    *) exec {real} "$@" ;;
esac
"""
K1EDGE = """#!/bin/bash
case $1 in
    devices) cat {state}/devices.json ;;
    --version) grep SigIgn /proc/$$/status >{state}/ignored; echo k1edge 1 ;;
    *) exec {real} -m k1edge "$@" ;;
esac
"""
SYSTEMCTL = """#!/bin/bash
echo "$*" >>{state}/calls
case "$*" in
    "restart k1edge")
        if [ -e {state}/hung-up ]; then kill -HUP "$PPID"; fi
        if [ -e {state}/broken ]; then rm {state}/broken; exit 1; fi
        ;;
    show*) if [ -e {state}/crashing ]; then echo $RANDOM$RANDOM; else echo 42; fi ;;
esac
"""


class Machine:
    """A folder that plays the machine."""

    def __init__(self, folder: Path) -> None:
        self.root, self.state = folder / "root", folder / "state"
        for path in (self.root / "usr/local/bin", self.state):
            path.mkdir(parents=True)
        self.cards("[]")
        for name, text in (("python3", PYTHON), ("k1edge", K1EDGE), ("systemctl", SYSTEMCTL)):
            program = self.state / name
            program.write_text(text.replace("{state}", str(self.state)).replace("{real}", shlex.quote(sys.executable)))
            program.chmod(0o755)

    def cards(self, json: str) -> None:
        (self.state / "devices.json").write_text(json)

    def happen(self, what: str) -> None:
        (self.state / what).touch()

    def run(self, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"K1EDGE_PYTHON": str(self.state / "python3"), "K1EDGE_HEALTH_S": "0",
                            "K1EDGE_SYSTEMCTL": str(self.state / "systemctl")}  # fmt: skip
        command = [ROOT / "scripts" / script, "--prefix", self.root, *args]
        return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def install(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self.run("install", "--site", "hall", "--edge", "pi", *args)

    def packages(self, *args: str) -> str:
        """What is wanted of Debian, where nothing is there yet: the script as far as that, with an apt that does nothing."""
        beginning = (ROOT / "scripts/install").read_text().partition("\ncheck_machine\n")[0]
        script = self.state / "install"
        script.write_text(f"{beginning}\ndpkg-query() {{ :; }}\napt-get() {{ :; }}\ninstall_packages\n")
        command = ["bash", script, "--prefix", self.root, *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    @property
    def config(self) -> Path:
        return self.root / "etc/k1edge/k1edge.toml"

    @property
    def settings(self) -> dict:
        return tomllib.loads(self.config.read_text())

    @property
    def release(self) -> Path:
        return (self.root / "opt/k1edge/venv").resolve()

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.root / "opt/k1edge/releases").iterdir())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_first_installation_puts_everything_in_its_place(machine):
    machine.cards(CARD % ("CODEC", "CODEC"))
    done = machine.install()
    assert done.returncode == 0, done.stderr
    settings = machine.settings
    assert (settings["site"], settings["edge"], settings["audio"]["device"]) == ("hall", "pi", "CODEC")
    assert (settings["mqtt"]["url"], settings["mqtt"]["username"]) == ("mqtt://127.0.0.1:1883", "edge/pi")
    assert (machine.root / "etc/systemd/system/k1edge.service").read_text() == (ROOT / "systemd/k1edge.service").read_text()
    assert (machine.root / "etc/credstore/k1edge.mqtt-password").readlink() == Path("/etc/k1edge/mqtt-password")
    password = machine.root / "etc/k1edge/mqtt-password"
    assert password.stat().st_mode & 0o777 == 0o600
    made = machine.root / "etc/mosquitto/k1edge/credentials/edge-pi.password"
    assert password.read_text() == made.read_text()
    for script in ("broker-setup", "uninstall"):
        assert os.access(machine.release / "share/k1edge/scripts" / script, os.X_OK)
    assert "k1/v1/hall/edge/pi/#" in done.stdout
    assert "mosquitto_sub" in done.stdout
    assert (machine.state / "calls").read_text().splitlines()[-5:] == [
        "enable --quiet k1edge", "restart k1edge",
        "show -p MainPID --value k1edge", "is-active --quiet k1edge", "show -p MainPID --value k1edge"]


def test_what_is_installed_keeps_its_python_through_an_upgrade_of_debian(machine):
    """`python3` is another one then, which knows nothing of the packages of the one before."""
    python, its_own_name = machine.state / "python3", machine.state / "python3.11"
    python.rename(its_own_name)
    python.symlink_to(its_own_name)
    assert machine.install().returncode == 0
    assert (machine.release / "bin/python").readlink() == its_own_name


def test_the_written_configuration_has_no_fault(machine):
    assert machine.install("--device", "hw:CARD=X,DEV=1").returncode == 0
    env = os.environ | {"CREDENTIALS_DIRECTORY": str(machine.config.parent)}
    command = [sys.executable, "-m", "k1edge", "check", str(machine.config)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert machine.settings["audio"]["device"] == "hw:CARD=X,DEV=1"


def test_an_upgrade_keeps_the_configuration_and_switches_the_version(machine):
    assert machine.install().returncode == 0
    before, text = machine.release, machine.config.read_text() + "# mine\n"
    machine.config.write_text(text)
    password = (machine.root / "etc/k1edge/mqtt-password").read_text()
    done = machine.install("--site", "elsewhere", "--device", "other")
    assert done.returncode == 0, done.stderr
    assert machine.config.read_text() == text
    assert (machine.root / "etc/k1edge/mqtt-password").read_text() == password
    assert machine.release != before
    assert machine.releases == sorted([before.name, machine.release.name])
    assert machine.install().returncode == 0
    assert before.name not in machine.releases, "the last two are kept"
    assert len(machine.releases) == 2


@pytest.fixture
def drop_in(machine):
    """What handed over the password before the unit did: it knows the file by its path, and nothing starts without that."""
    assert machine.install().returncode == 0
    path = machine.root / "etc/systemd/system/k1edge.service.d/credential.conf"
    path.parent.mkdir(exist_ok=True)
    path.write_text("[Service]\nLoadCredential=mqtt-password:/etc/k1edge/mqtt-password\n")
    return path


def test_an_upgrade_takes_away_what_handed_over_the_password_before(machine, drop_in):
    assert machine.install().returncode == 0
    assert not drop_in.exists()
    assert not drop_in.parent.exists()


def test_the_version_that_is_put_back_still_gets_its_password(machine, drop_in):
    machine.happen("crashing")
    assert machine.install().returncode == 1
    assert drop_in.exists()


def test_a_password_that_is_lost_keeps_no_version_from_starting(machine, drop_in):
    machine.config.write_text(machine.config.read_text().replace("edge/pi", "someone"))
    (machine.config.parent / "mqtt-password").unlink()
    machine.happen("crashing")
    assert machine.install().returncode == 1
    assert not drop_in.exists()


EDITS = {
    "quotes": lambda text: text.replace('site = "hall"', "site = 'hall'"),
    "no spaces": lambda text: text.replace('site = "hall"', 'site="hall"').replace('username = "', 'username="'),
    "the machine's name": lambda text: text.replace('site = "hall"', 'site = ""'),
    "another site": lambda text: text.replace('site = "hall"', 'site = "attic"'),
    "another editor": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_upgrade_takes_the_configuration_as_people_write_it(machine, edit):
    assert machine.install().returncode == 0
    machine.config.write_bytes(edit(machine.config.read_text()).encode())
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert f"k1/v1/{load(machine.config).site}/edge/pi/#" in done.stdout
    assert len(machine.releases) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [(("--site", "Blue Room"), "Blue Room"), (("--edge", "--no-broker"), "--no-broker"),
     (("--broker", "10.0.0.5"), "mqtts://"), (("--broker", "mqtt://10.0.0.5"), "without encryption")],
)  # fmt: skip
def test_values_that_make_no_configuration_are_refused_and_nothing_is_left(machine, given, said):
    done = machine.install(*given)
    assert done.returncode == 1
    assert said in done.stderr
    assert not [path for path in (machine.root / "etc").rglob("*") if path.is_file()]
    assert not (machine.root / "opt/k1edge/releases").exists() or machine.releases == []


def test_a_sound_card_may_have_any_name(machine):
    assert machine.install("--device", r'R&B|"Länge" \1').returncode == 0
    assert machine.settings["audio"]["device"] == r'R&B|"Länge" \1'


def test_a_machine_that_keeps_new_files_to_their_owner_is_installed_all_the_same(machine):
    before = os.umask(0o077)
    try:
        done = machine.install()
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    for path in (machine.config.parent, machine.config, machine.root / "opt/k1edge", machine.release / "share"):
        assert path.stat().st_mode & 0o044 == 0o044, path


@pytest.mark.parametrize("fault", ["broken", "crashing"])
def test_a_version_that_does_not_run_well_is_taken_back(machine, fault):
    assert machine.install().returncode == 0
    before = machine.release
    machine.happen(fault)
    done = machine.install()
    assert done.returncode == 1
    assert "the old one has been put back" in done.stderr
    assert machine.release == before
    assert machine.releases == [before.name]
    assert (machine.state / "calls").read_text().splitlines()[-1] == "restart k1edge"


@pytest.mark.usefixtures("hangs_up")
@pytest.mark.parametrize("fault", [None, "broken", "crashing"])
def test_a_connection_that_is_lost_at_the_end_leaves_no_version_that_nobody_has_judged(machine, fault):
    assert machine.install().returncode == 0
    before = machine.release
    machine.happen("hung-up")
    if fault:
        machine.happen(fault)
    done = machine.install()
    assert done.returncode == bool(fault), done.stderr
    assert (machine.release == before) == bool(fault)
    ignored = int((machine.state / "ignored").read_text().split()[1], 16)
    assert not ignored & 1 << signal.SIGHUP - 1, "once it is judged, whoever waits for the doctor may leave"


def test_what_fails_before_the_switch_touches_nothing_that_runs(machine):
    assert machine.install().returncode == 0
    before, calls = machine.release, (machine.state / "calls").read_text()
    machine.happen("no-network")
    assert machine.install().returncode == 1
    (machine.state / "no-network").unlink()
    machine.config.write_text(machine.config.read_text() + "[nonsense]\nx = 1\n")
    done = machine.install()
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert "nothing has been changed" in done.stderr
    assert (machine.release, machine.releases) == (before, [before.name])
    assert "restart k1edge" not in (machine.state / "calls").read_text()[len(calls):]


def test_several_sound_cards_and_nobody_to_ask_is_an_error_before_anything_changes(machine):
    machine.cards('[{"setting": "A", "card_id": "A"}, {"setting": "B", "card_id": "B"}, {"setting": "default", "card_id": ""}]')
    done = machine.install()
    assert done.returncode == 1
    assert "choose one with --device: A B\n" in done.stderr
    assert not machine.config.exists()
    assert machine.releases == []
    assert machine.install("--device", "B").returncode == 0
    assert machine.settings["audio"]["device"] == "B"


def test_a_broker_elsewhere_needs_none_here(machine):
    assert machine.install("--broker", "mqtts://broker.example:8883").returncode == 0
    assert machine.settings["mqtt"]["url"] == "mqtts://broker.example:8883"
    assert not (machine.root / "etc/mosquitto").exists()
    assert not (machine.root / "etc/systemd/system/k1edge.service.d").exists()
    assert machine.install().returncode == 0, "nor at an upgrade"
    assert not (machine.root / "etc/mosquitto").exists()


@pytest.mark.parametrize(("first", "wanted"), [((), True), (("--no-broker",), False)])
def test_an_upgrade_wants_the_packages_of_the_broker_only_where_there_is_one_here(machine, first, wanted):
    assert "mosquitto" in machine.packages()
    assert "mosquitto" not in machine.packages(*first or ("--broker", "mqtts://broker.example:8883"))
    assert machine.install(*first).returncode == 0
    assert ("mosquitto" in machine.packages()) == wanted


def test_uninstalling_keeps_what_is_the_owners_unless_purged(machine):
    assert machine.install().returncode == 0
    assert machine.run("uninstall").returncode == 0
    assert "disable --now --quiet k1edge" in (machine.state / "calls").read_text().splitlines()
    assert not (machine.root / "opt/k1edge").exists()
    assert not list((machine.root / "etc/systemd/system").iterdir())
    assert machine.config.exists()
    assert machine.install().returncode == 0, "and comes back as it was"
    assert machine.run("uninstall", "--purge").returncode == 0
    left = [path for path in machine.root.rglob("*") if path.is_file() or path.is_symlink()]
    assert not left


@pytest.mark.parametrize(("target", "left"), [("k1edge", False), ("multi-user", True)])
def test_a_machine_that_was_to_start_the_light_alone_starts_as_before_once_it_is_gone(machine, target, left):
    """It would come up in rescue mode, without a network."""
    assert machine.install().returncode == 0
    default = machine.root / "etc/systemd/system/default.target"
    default.symlink_to(f"/etc/systemd/system/{target}.target")
    assert machine.run("uninstall").returncode == 0
    assert default.is_symlink() == left


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_an_unknown_option_is_refused(machine, script):
    done = machine.run(script, "--prefx")
    assert done.returncode == 1
    assert "unknown option --prefx" in done.stderr


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_a_rehearsal_nowhere_is_not_taken_for_this_machine(machine, script):
    done = machine.run(script, "--prefix", "")
    assert done.returncode == 1
    assert "--prefix needs a value" in done.stderr


def test_a_rehearsal_may_be_named_from_where_one_is(machine, monkeypatch):
    monkeypatch.chdir(machine.root.parent)
    machine.root = Path(machine.root.name)
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert machine.settings["site"] == "hall"
