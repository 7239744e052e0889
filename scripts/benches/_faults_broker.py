"""Faults of the broker and of the way to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from _fault_table import HALT_S, Table, Venue
from _venue import EDGE, Wall, Witness, awaited

from k1edge.k1.link import Identity, Link
from tests.brokers import Mosquitto, certificates, credentials, tls_lines


def broker(make: Callable[..., Venue], table: Table) -> None:
    """The broker and the way to it, on one running edge."""
    with make("broker") as venue:

        def row(fault: str, said_s: float | None, mended_s: float) -> None:
            light_s = venue.light(mended_s)
            back = venue.heard(mended_s - 0.5, "BROKER_BACK", "/event/link")
            why = venue.witness.last(f"{EDGE}/status").get("reason", "")
            misses, hops = (venue.witness.last("/telemetry").get(key, 0) for key in ("deadline_misses", "hops"))
            table.row(
                fault,
                "log" if back is None else "log, BROKER_BACK",
                said_s,
                light_s,
                venue,
                note=f"status: {why[:70]!r}; {misses} of {hops} hops late",
            )

        began_s = venue.begin()
        venue.broker.kill()
        said_s = venue.logged(began_s, "no broker")
        time.sleep(HALT_S)
        venue.broker.start()
        row("broker killed -9, restarted", said_s, time.monotonic())
        began_s = venue.begin()
        venue.proxy.mode = "hold"
        said_s = venue.logged(began_s, "Keep alive")
        venue.proxy.cut()
        venue.proxy.mode = "run"
        row("half-open TCP", said_s, time.monotonic())
        began_s = venue.begin()
        venue.proxy.delay_s, venue.proxy.mode = 0.4, "slow"
        said_s = venue.heard(began_s, "NETWORK_SLOW")
        venue.proxy.mode = "run"
        table.row("slow: 400 ms each way", "NETWORK_SLOW", said_s, venue.light(time.monotonic()), venue)
        began_s, said_s = venue.begin(), None
        for _ in range(8):
            venue.proxy.cut()
            said_s = said_s or venue.logged(began_s, "connection lost")
            time.sleep(1.5)
        row("flapping, 8 cuts", said_s, time.monotonic())
        began_s = venue.begin()
        twin = Link(venue.broker.settings(), Identity("k1edge-hall.pi"), backoff=lambda _: 0.5)
        twin.start()
        said_s = venue.logged(began_s, "another client")
        twin.close()
        row("duplicate client id", said_s, time.monotonic())
        wanted = {f"{EDGE}/{name}" for name in ("status", "info", "tempo-map", "config/reported")}
        wanted |= {f"{EDGE}/state/{name}" for name in ("audio", "tempo", "section", "scene")}
        late, began_s = Witness(venue.broker.port), time.monotonic()
        there_s = awaited(
            lambda: wanted <= {topic for _, topic, _, kept in list(late.heard) if kept} and time.monotonic() - began_s, 10
        )
        late.close()
        table.row("retained state lost with the broker", "sent anew", there_s, venue.light(began_s), venue)


def broker_at_boot(make: Callable[..., Venue], table: Table, root: Path) -> None:
    """Refused, wrong credentials, wrong authority: from the beginning, and mended while the edge runs."""
    with make("refused", with_broker=False, light=False) as venue:
        began_s = venue.began_s
        said_s = venue.logged(began_s, "no broker")
        venue.broker.start()
        mended_s = time.monotonic()
        venue.wall = Wall(venue.broker.settings(), venue.line.starts)
        table.row("no broker at boot", "log", said_s, venue.light(mended_s), venue)
    passwords = root / "pw"
    passwords.mkdir()
    lines = credentials(passwords, edge="right", all="all")
    (passwords / "secret").write_text("wrong")
    with make(
        "credentials",
        broker=lines,
        light=False,
        witness={"user": "all", "password": "all"},
        more=f'username = "edge"\npassword_file = "{passwords}/secret"\nallow_insecure = true\n',
    ) as venue:
        began_s = venue.began_s
        said_s = venue.logged(began_s, "Not authorized")
        credentials(passwords, edge="wrong")  # the owner gives the broker what the edge has
        venue.broker._process.send_signal(1)
        mended_s = time.monotonic()
        venue.wall = Wall(venue.broker.settings(username="all", password="all"), venue.line.starts)
        table.row("wrong credentials, mended there", "log", said_s, venue.light(mended_s), venue)
    tls, other = root / "tls", root / "other"
    tls.mkdir(), other.mkdir()
    files, wrong = certificates(tls), certificates(other)
    with (
        Mosquitto(root, *tls_lines(wrong), tls=True) as secure,
        make(
            "authority", url=f"mqtts://localhost:{secure.port}", more=f'ca_file = "{files["ca.crt"]}"\n', light=False
        ) as venue,
    ):
        began_s = venue.began_s
        said_s = venue.logged(began_s, "certificate verify failed")
        secure.stop()
        secure._conf.write_text(secure._conf.read_text().replace(str(other), str(tls)))
        secure.start()
        mended_s = time.monotonic()
        venue.wall = Wall(secure.settings(ca_file=str(files["ca.crt"])), venue.line.starts)
        table.row("wrong authority, mended there", "log", said_s, venue.light(mended_s), venue)
