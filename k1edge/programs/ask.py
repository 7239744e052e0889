"""`k1edge ask VERB key=value ...`: a request to an edge from a shell, and its answer for a person.

Consumes a verb and its arguments (numbers, true, false, null and JSON lists as such where the verb takes them, all else as
text), emits the answer as an outline or as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import sys
import time
from datetime import datetime
from typing import Any

from k1edge.config import MqttSettings
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Publication
from k1edge.k1.contract.message import EDGE_LIMIT_BYTES, LATEST_MS
from k1edge.k1.link import Identity, Link
from k1edge.programs.options import (
    ANOTHER_WAY,
    EXIT_USAGE,
    add_broker_arguments,
    broker_settings,
    check_name,
    fail,
    some_seconds,
    this_machine,
)

EXIT_REFUSED, EXIT_SILENT = 1, 3
POLL_S = 0.005
ROWS_SHOWN = 50
GAP = "  "
"""Between the facts of a row."""
FIRST_MOMENT_MS = 1e11
"""Of a clock that is set, by far; times within a song are shorter."""
SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge ask track.list text=night
  k1edge ask scene.apply pattern=bloom palette=Rivendell lease_s=30
  k1edge ask scene.apply pattern=pulse 'parameters={"brightness": 0.4}'
  k1edge ask beats.override track=5e5e5e5e5e5e5e5e 'ops=[{"op": "delete", "at_ms": 734.7}]'
  k1edge ask tempo.halve --site blue-room --edge pi-1
  k1edge ask job.list --url mqtts://broker.local:8883 --ca-file ca.crt --username operator/ann --password-file ann.password

verbs (what may be left out stands in brackets):
""" + "".join(f"  {_usage(name)}\n      {verb.purpose}\n" for name, verb in contract.VERBS.items()) + """
exit code: 0 done, 1 refused or failed, 2 wrong usage, 3 no answer"""
    parser.add_argument("verb", help="one of those below")
    parser.add_argument("args", nargs="*", metavar="key=value",
                        help="""arguments of the verb; lists and objects as JSON: 'layers=["rhythm"]'""")
    parser.add_argument("--edge", default=this_machine().edge, metavar="NAME", help="which edge (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    parser.add_argument("--wait", type=some_seconds, default=10.0, metavar="S",
                        help="seconds to wait for the answer (default: %(default)s)")
    add_broker_arguments(parser)


def main(args: argparse.Namespace) -> int:
    caller = f"ask-{secrets.token_hex(4)}"
    try:
        broker = broker_settings(args)
        check_name("site", args.site)
        check_name("edge", args.edge)
        payload = {"id": caller, "caller": os.environ.get("USER", "")[:64], "args": _arguments(args.verb, args.args)}
        asked = contract.topic(contract.Request, args.site, args.edge, "+")[:-1] + args.verb
        text = json.dumps(payload).encode()
        contract.decode(asked, text)
    except ContractError as error:
        return fail("ask", f"{error.reason.replace('args.', '')}{_takes(args.verb)}", EXIT_USAGE)
    except ValueError as error:
        return fail("ask", error, EXIT_USAGE)
    try:
        answer = _exchange(broker, asked, text, args.wait)
    except TimeoutError as silence:
        return fail("ask", silence, EXIT_SILENT)
    if args.json:
        print(json.dumps(answer.model_dump(mode="json"), ensure_ascii=False))
    elif answer.result == "ok":
        wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in outline(answer.data):
            print("\n".join(fitted(line, wide) if wide else [line]))
    else:
        print(f"{answer.result}: {answer.code}: {answer.reason}", file=sys.stderr)
    return 0 if answer.result == "ok" else EXIT_REFUSED


def _takes(verb: str) -> str:
    """What a verb is and takes, those it can do without in brackets; '' when there is no such verb."""
    if verb not in contract.VERBS:
        return ""
    return f"\n{contract.VERBS[verb].purpose}\nusage: k1edge ask {_usage(verb)}"


def _usage(verb: str) -> str:
    fields = contract.VERBS[verb].arguments.model_fields
    return " ".join([verb, *(f"{key}=" if field.is_required() else f"[{key}=]" for key, field in fields.items())])


def _arguments(verb: str, given: list[str]) -> dict[str, Any]:
    """`key=value` words as arguments of a verb. Raises ValueError."""
    found, texts = {}, _texts(verb)
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(f"{word!r} is not key=value")
        found[key] = value
        with contextlib.suppress(ValueError):
            meant = json.loads(value)
            is_text = key in texts and not (isinstance(meant, str) or (meant is None and "null" in texts[key]))
            found[key] = value if is_text else meant  # an id of digits is no number
    return found


def _texts(verb: str) -> dict[str, set[str]]:
    """What a verb takes as text, or null, and nothing else."""
    fields = contract.VERBS[verb].arguments.model_json_schema()["properties"] if verb in contract.VERBS else {}
    kinds = {key: {one.get("type") for one in field.get("anyOf", [field])} for key, field in fields.items()}
    return {key: kind for key, kind in kinds.items() if kind <= {"string", "null"}}


def _exchange(broker: MqttSettings, asked: str, text: bytes, wait_s: float) -> contract.Response:
    """The answer. Raises TimeoutError with what is known of why there is none."""
    response = asked.replace("/request/", "/response/")
    name = json.loads(text)["id"]
    link = Link(broker, Identity(f"k1edge-{name}", [response], payload_limit=EDGE_LIMIT_BYTES))
    link.start()
    until_s, sent = time.monotonic() + wait_s, False
    try:
        while time.monotonic() < until_s:
            if link.connected and not sent:
                link.send(Publication(asked, text, 1, expiry_s=wait_s))
                sent = True
            for received in link.receive():
                answer = contract.decode(received.topic, received.payload)
                if isinstance(answer, contract.Response) and answer.id == name:
                    return answer
            time.sleep(POLL_S)
        if trouble := link.last_reason or ("" if link.connected else "no answer"):
            raise TimeoutError(f"{broker.url}: {trouble}; {ANOTHER_WAY}")
        where = contract.address(asked)
        raise TimeoutError(f"no answer from {where.site}/{where.node} within {wait_s:g} s: --site and --edge say whom to ask")
    finally:
        link.close((), 0.2)


def outline(value: Any, indent: str = "") -> list[str]:
    """Plain objects as indented lines; long lists of numbers in one."""
    if value in ({}, []):
        return [f"{indent}none"]
    if isinstance(value, dict):
        lines = []
        for key, item in itertools.starmap(_dated, value.items()):
            inner = outline(item, indent + "  ")
            on_one_line = len(inner) == 1 and not inner[0].strip().startswith("-")
            lines += [f"{indent}{key}: {inner[0].strip()}"] if on_one_line else [f"{indent}{key}:", *inner]
        return lines
    if isinstance(value, list):
        if all(not isinstance(item, dict | list) for item in value):
            shown = ", ".join(map(_word, value[:ROWS_SHOWN]))
            return [f"{indent}{shown}{f', ... ({len(value)})' if len(value) > ROWS_SHOWN else ''}"]
        rows = [f"{indent}- {_row(item)}" for item in value[:ROWS_SHOWN]]
        return rows + ([f"{indent}... ({len(value)})"] if len(value) > ROWS_SHOWN else [])
    return [f"{indent}{_word(value)}"]


def fitted(line: str, columns: int) -> list[str]:
    """A line of an outline as a terminal has it: a row in as many lines as it needs, broken between facts."""
    margin = " " * (len(line) - len(line.lstrip()))
    if len(line) <= columns or not line.startswith(f"{margin}- "):
        return [line]
    first, *facts = line.removeprefix(margin).split(GAP)
    lines = [margin + first]
    for fact in facts:
        if len(lines[-1]) + len(GAP) + len(fact) <= columns:
            lines[-1] += GAP + fact
        else:
            lines.append(margin + GAP + fact)
    return lines


def _row(item: Any) -> str:
    if isinstance(item, dict):
        said = itertools.starmap(_dated, item.items())
        return GAP.join(f"{key} {SHA256.sub(_begun, _word(value))}" for key, value in said if value not in (None, "", [], {}))
    return _word(item)


def _dated(key: str, value: Any) -> tuple[str, Any]:
    """A moment as the date and time it is where this is read; all else as it is."""
    if isinstance(value, dict):
        return key, dict(itertools.starmap(_dated, value.items()))
    if not (key.endswith("_ms") and type(value) in (int, float) and FIRST_MOMENT_MS <= value <= LATEST_MS):
        return key, value
    return key.removesuffix("_ms"), f"{datetime.fromtimestamp(value / 1000).astimezone():%Y-%m-%d %H:%M:%S %z}"


def _begun(whole: re.Match[str]) -> str:
    """So much of it as tells it from others: in a row there are other things to read."""
    return f"{whole[0][:12]}..."


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.15g}"
    return "not known" if value is None else json.dumps(value, ensure_ascii=False)
