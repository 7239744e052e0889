"""The K1s of an edge: who is there, who has one of the sixteen places, and who waits for one.

Consumes the configuration and what K1s say of themselves; emits nothing, but lists those that are driven. No I/O and no clock.
"""

from __future__ import annotations

from collections import Counter

from k1edge.config import K1Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.k1 import contract
from k1edge.live.follower import Follower


class Roster:
    """Every K1 that is listed, or was heard of."""

    def __init__(self, settings: K1Settings) -> None:
        self._auto = settings.devices == "auto"
        self._auto_latency_ms = settings.auto_latency_ms
        listed = () if self._auto else settings.devices
        self.devices = {d.id: Follower(d.id, d.latency_ms, listed=True) for d in listed if d.enabled}
        self._waiting: dict[str, str] = {}
        """Boot ids of K1s beyond the sixteen, by name, longest first."""
        self.parted: set[str] = set()
        """K1s that have made room for others, and for which the broker may still keep something."""
        self._stopped_before: Counter[str] = Counter()
        """By the limiters of K1s that have made room for others."""

    def heard(self, device: str, ready: bool, boot_id: str = "") -> None:
        """A K1 reported itself ready, or lost. One for which there is no place waits for the next that leaves."""
        known = self.devices.get(device)
        if known is None and self._auto:
            known = self._new(device, ready, boot_id)
        if known is None:
            return
        known.heard(ready, boot_id)
        if not ready and self._waiting:
            following = next(iter(self._waiting))
            self.heard(following, ready=True, boot_id=self._waiting.pop(following))

    def ponged(self, device: str, pong: contract.Pong, heard_ms: float) -> None:
        """A K1 answered. Where one has lost its place by a long silence, this alone says that it is back."""
        known = self.devices.get(device)
        if known is not None:
            known.ponged(pong, heard_ms)
        elif device not in self._waiting:
            self.heard(device, ready=True)

    def stated(self, device: str, state: contract.DeviceState, now_ms: float) -> None:
        """A K1 told how it fares."""
        if device in self.devices:
            self.devices[device].stated(state, now_ms)

    @property
    def waiting(self) -> int:
        """K1s that are there and have no place."""
        return len(self._waiting)

    def forget_waiting(self) -> None:
        """The broker that told of those that wait has gone; the next connection tells again who is there."""
        self._waiting.clear()

    @property
    def ready(self) -> int:
        """K1s that are there."""
        return sum(device.ready for device in self.devices.values())

    @property
    def presence(self) -> dict[str, bool]:
        """Each K1, and whether it is there."""
        return {device.id: device.ready for device in self.devices.values()}

    @property
    def stopped(self) -> dict[str, int]:
        """How often the limiter changed or held back what, over all K1s."""
        return dict(sum((device.limiter.stopped for device in self.devices.values()), self._stopped_before))

    @property
    def round_trip_ms_max(self) -> float | None:
        """Of the slowest K1; None before the first answer."""
        return max((d.round_trip_ms for d in self.devices.values() if d.round_trip_ms is not None), default=None)

    def is_late(self, ahead_ms: float, share: float) -> bool:
        """Whether the way to a K1 takes more than this share of the time that its latency leaves of `ahead_ms`."""
        return any(d.way_ms > share * (ahead_ms - d.latency_ms) for d in self.devices.values() if d.ready)

    def lapsing(self, now_ms: float) -> list[str]:
        """K1s that are often without us, although the way to them is short at other times."""
        return sorted(device.id for device in self.devices.values() if device.lapses(now_ms))

    @property
    def spared(self) -> bool:
        """Whether every K1 that is there is told less: what is narrow is then the way of the edge, or the broker."""
        return self.ready > 0 and all(device.spared for device in self.devices.values() if device.ready)

    @property
    def driven(self) -> list[Follower]:
        """Those that are sent anything but pings."""
        return [device for device in self.devices.values() if device.driven]

    def _new(self, device: str, ready: bool, boot_id: str) -> Follower | None:
        """One that is not known yet, if it is there and there is a place."""
        if not ready:
            self._waiting.pop(device, None)
        elif self._has_room():
            self.devices[device] = Follower(device, self._auto_latency_ms.get(device, 0.0), listed=False)
        elif device in self._waiting or len(self._waiting) < MAX_DEVICES:
            self._waiting[device] = boot_id  # one that says it again keeps its turn
        return self.devices.get(device)

    def _has_room(self) -> bool:
        """One that is gone makes room for one that is there: in years a venue sees more than sixteen."""
        if len(self.devices) < MAX_DEVICES:
            return True
        gone = next((each for each in self.devices.values() if not each.ready), None)
        if gone is None:
            return False
        self._stopped_before += self.devices.pop(gone.id).limiter.stopped
        self.parted.add(gone.id)
        return True
