"""`k1edge monitor`: a live view of any edge's telemetry, as an ordinary MQTT subscriber.

Consumes everything an edge publishes (below `k1/v1/<site>/edge/<edge>/`) and the status of K1s; emits a screen of any size
at 15 Hz, or lines where there is no terminal. It knows no more than any other subscriber could.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

from k1edge.k1 import contract, terminal
from k1edge.k1.contract.message import EDGE_LIMIT_BYTES
from k1edge.k1.link import Identity, Link
from k1edge.k1.terminal import Depth, Screen
from k1edge.programs.options import (
    ANOTHER_WAY,
    EXIT_FAILED,
    EXIT_USAGE,
    Stop,
    add_broker_arguments,
    add_seconds,
    broker_settings,
    check_name,
    fail,
    visitor,
)
from k1edge.programs.panel import BAD, STALE_S, SiteView

VIEW_S = 1 / 15
POLL_S = 0.01
MANY = contract.Job, contract.Track
"""Retained, of any number: asked for last, since the embedded broker keeps the first hundred for who comes, and no more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge monitor --site blue-room
  k1edge monitor --url mqtts://broker.local:8883 --ca-file ca.crt --username viewer/wall --password-file viewer-wall.password
  k1edge monitor --lines | grep event/           a line for each message but the frames

exit code: 0 done, 1 no broker was reached, 2 wrong usage"""
    add_broker_arguments(parser)
    parser.add_argument("--edge", default="+", metavar="NAME", help="id of the edge (default: the first that is heard)")
    add_seconds(parser)
    parser.add_argument("--lines", action="store_true", help="print lines even where there is a terminal")


def main(args: argparse.Namespace) -> int:
    try:
        settings = broker_settings(args)
        check_name("site", args.site)
        if args.edge != "+":
            check_name("edge", args.edge)
    except ValueError as error:
        return fail("monitor", error, EXIT_USAGE)
    filters = everything(args.site, args.edge)
    link = Link(settings, Identity(visitor("monitor"), filters, payload_limit=EDGE_LIMIT_BYTES))
    link.start()
    view, stop = SiteView(args.edge, args.site), Stop(args.seconds)
    colours = Depth.LINES if args.lines else terminal.depth(sys.stdout)
    with closing(link):
        if colours is Depth.LINES:
            _print_lines(link, view, stop)
        else:
            _keep_screen(link, view, stop, colours)
    if link.counters.connects:
        return 0
    return fail("monitor", f"{args.url}: {link.last_reason or 'no answer'}; {ANOTHER_WAY}", EXIT_FAILED)


def everything(site: str, edge: str) -> list[str]:
    """The topics of all that an edge says and is asked, and of what K1s say of themselves."""
    said = sorted((*contract.EDGE_MESSAGES, contract.Request, contract.Response), key=lambda model: model in MANY)
    return [contract.topic(contract.DeviceStatus, site, "+"), *(contract.topic(model, site, edge, "+") for model in said)]


def _keep_screen(link: Link, view: SiteView, stop: Stop, colours: Depth) -> None:
    with Screen(sys.stdout) as screen:
        while not stop():
            now_s = time.monotonic()
            for topic, payload, _ in link.receive():
                view.take(topic, payload, now_s)
            columns = screen.size.columns
            connection = [] if link.connected else [(f"broker: {link.last_reason or 'connecting'}"[:columns], BAD)]
            lines = [*connection, *view.lines(columns, now_s)]
            screen.show(list(_painted(lines, colours)))
            time.sleep(VIEW_S)


def _print_lines(link: Link, view: SiteView, stop: Stop) -> None:
    reason, quiet, connected_s = "", True, math.inf
    while not stop():
        now_s = time.monotonic()
        connected_s = min(connected_s, now_s) if link.connected else connected_s
        if quiet and view.silence and now_s - connected_s >= STALE_S:
            quiet = False
            print(view.silence, flush=True)
        if link.last_reason and link.last_reason != reason:
            print(f"broker: {link.last_reason}", flush=True)
        reason = link.last_reason
        for topic, payload, _ in link.receive():
            message = view.take(topic, payload, now_s)
            if message is not None and not isinstance(message, contract.Frame):
                quiet = False
                told = message.model_dump_json(exclude_none=True, exclude={"seq", "ts_ms", "clock_synced"})
                print(f"{topic.split('/', 3)[3]} {told}", flush=True)
        time.sleep(POLL_S)


def _painted(lines: Iterable[tuple[str, str]], colours: Depth) -> Iterator[str]:
    for text, colour in lines:
        yield text if colours is Depth.MONO or not colour else f"\x1b[{colour}m{text}{terminal.RESET}"
