"""What this machine tells of itself: its heat, its supply, the room for state, the memory that is used and may be.

Consumes /sys and /proc, emits a `Reading`; whatever is not there is left out. A few small reads, 0.2 ms.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from k1edge.box import UNDER_VOLTAGE, Reading

THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
STATM = Path("/proc/self/statm")
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""Of a Raspberry Pi's firmware, up to the Pi 4; hexadecimal."""
SENSORS, SUPPLY = Path("/sys/class/hwmon"), "rpi_volt"
"""The kernel's; that of the supply is in every Pi."""
MOUNTS = Path("/proc/self/mountinfo")
OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def reading(folder: Path) -> Reading:
    """Everything, as of now; `folder`: where the state is kept, made or not."""
    try:
        free_mb, read_only, free_files = room(folder)
    except OSError:
        free_mb, read_only, free_files = None, False, None
    return Reading(temperature_c(), _throttled(), free_mb, read_only, _memory_share(), free_files)


def temperature_c() -> float | None:
    """Temperature of the processor; None on machines without a sensor."""
    try:
        return int(THERMAL.read_text()) / 1000
    except (OSError, ValueError):
        return None


def rss_mb() -> float | None:
    """Resident memory of this process, MB; None where there is no /proc."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return None


def _throttled() -> int:
    try:
        return int(THROTTLED.read_text(), 16)
    except (OSError, ValueError):
        return UNDER_VOLTAGE if _supply_is_weak() else 0


def _supply_is_weak() -> bool:
    for sensor in SENSORS.glob("*"):
        with contextlib.suppress(OSError):
            if (sensor / "name").read_text().strip() == SUPPLY:
                return (sensor / "in0_lcrit_alarm").read_text().strip() == "1"
    return False


def room(folder: Path) -> tuple[float, bool, int | None]:
    """MB free where a folder is or would be, whether it is read-only, and how many files can be made: None where the file
    system sets no number, as FAT and btrfs. Raises OSError."""
    while folder != folder.parent and not os.path.exists(folder):  # noqa: PTH110 - Path.exists raises where a folder is closed to us
        folder = folder.parent
    there = os.statvfs(folder)
    read_only = bool(there.f_flag & os.ST_RDONLY) or _given_up(folder)
    return there.f_bavail * there.f_frsize / 1e6, read_only, there.f_favail if there.f_files else None


def _given_up(folder: Path) -> bool:
    """Whether ext4 has met a fault and takes nothing more: since Linux 6.15 its options alone say so. Raises OSError."""
    try:
        mounts = MOUNTS.read_bytes()
    except OSError:
        return False
    if b"emergency_ro" not in mounts:
        return False
    device = folder.stat().st_dev
    ours = b" %d:%d " % (os.major(device), os.minor(device))
    return any(ours in line and b"emergency_ro" in line for line in mounts.splitlines())


def _memory_share() -> float | None:
    """Of what the control group may use; None without a limit."""
    try:
        own = OWN_GROUP.read_text().partition("0::/")[2].splitlines()[0]
        limit_mb = int((GROUPS / own / "memory.max").read_text()) / 1e6
    except (OSError, ValueError, IndexError):
        return None
    used_mb = rss_mb()
    return None if used_mb is None else used_mb / limit_mb
