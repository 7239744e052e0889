"""What the machine tells of its heat, its memory, its supply and the disk that keeps the state."""

import os
from types import SimpleNamespace

import pytest

from k1edge.box import UNDER_VOLTAGE
from k1edge.system import machine


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Writes the kernel's table of mounts: the options of the file system that holds `tmp_path`, beside those of another."""
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(machine, "MOUNTS", table)

    def write(here, elsewhere):
        number = f"{os.major(device)}:{os.minor(device)}"
        table.write_text(
            f"36 35 {number} / /var/lib rw,noatime shared:1 - ext4 /dev/mmcblk0p2 {here}\n"
            f"37 35 0:4242 / /mnt rw shared:2 - ext4 /dev/sda1 {elsewhere}\n"
        )

    return write


def test_a_card_that_ext4_has_given_up_is_read_only(tmp_path, mounts):
    mounts("rw,emergency_ro,errors=remount-ro", "rw")
    free_mb, read_only, _ = machine.room(tmp_path / "made" / "later")
    assert read_only and free_mb > 0


def test_another_card_that_was_given_up_is_none_of_ours(tmp_path, mounts):
    mounts("rw,errors=remount-ro", "rw,emergency_ro")
    assert not machine.room(tmp_path)[1]


def test_without_a_table_of_mounts_the_file_system_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "MOUNTS", tmp_path / "none")
    assert not machine.room(tmp_path)[1]


@pytest.mark.parametrize(("all_files", "told"), [(1000, 7), (0, None)])
def test_files_that_can_be_made_are_counted_where_the_file_system_has_a_number(tmp_path, monkeypatch, all_files, told):
    there = SimpleNamespace(f_bavail=1000, f_frsize=4096, f_flag=0, f_files=all_files, f_favail=all_files and 7)
    monkeypatch.setattr(machine.os, "statvfs", lambda _: there)
    assert machine.reading(tmp_path).free_files == told


@pytest.mark.parametrize(("told", "weak"), [("1", True), ("0", False)])
def test_a_weak_supply_is_told_by_a_pi_whose_firmware_tells_no_bits(tmp_path, monkeypatch, told, weak):
    """A Pi 5 has no `get_throttled`; which sensor has which number is another at each boot."""
    sensors = [("cpu_thermal", "temp1_input", "48312"), ("rpi_volt", "in0_lcrit_alarm", told)]
    for number, (name, file, text) in enumerate(sensors):
        sensor = tmp_path / f"hwmon{number}"
        sensor.mkdir()
        (sensor / "name").write_text(f"{name}\n")
        (sensor / file).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "THROTTLED", tmp_path / "none")
    monkeypatch.setattr(machine, "SENSORS", tmp_path)
    assert bool(machine.reading(tmp_path).throttled & UNDER_VOLTAGE) == weak


def test_temperature_is_read_in_thousandths(tmp_path, monkeypatch):
    (tmp_path / "temp").write_text("61234\n")
    monkeypatch.setattr(machine, "THERMAL", tmp_path / "temp")
    assert machine.reading(tmp_path).temp_c == 61.234


def test_a_machine_that_tells_nothing_of_itself_has_a_reading_too(tmp_path, monkeypatch):
    for name in ("THERMAL", "STATM", "THROTTLED", "SENSORS", "OWN_GROUP", "GROUPS"):
        monkeypatch.setattr(machine, name, tmp_path / "nothing")
    found = machine.reading(tmp_path / "not" / "made")
    assert (found.temp_c, found.throttled, found.read_only, found.memory_share) == (None, 0, False, None)
    assert machine.rss_mb() is None
    assert found.free_mb > 0


def test_the_firmware_s_bits_and_the_units_limit_are_read(tmp_path, monkeypatch):
    (tmp_path / "throttled").write_text("50005\n")
    (tmp_path / "cgroup").write_text("0::/system.slice/k1edge.service\n")
    (tmp_path / "statm").write_text(f"99999 {256_000_000 // os.sysconf('SC_PAGE_SIZE')} 1\n")
    group = tmp_path / "groups" / "system.slice" / "k1edge.service"
    group.mkdir(parents=True)
    for name, place in (("THROTTLED", "throttled"), ("OWN_GROUP", "cgroup"), ("GROUPS", "groups"), ("STATM", "statm")):
        monkeypatch.setattr(machine, name, tmp_path / place)
    (group / "memory.max").write_text("max\n")
    assert machine.reading(tmp_path).memory_share is None
    (group / "memory.max").write_text("512000000\n")
    found = machine.reading(tmp_path)
    assert (found.throttled, found.memory_share) == (0x50005, 0.5)
