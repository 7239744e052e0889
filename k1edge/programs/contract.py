"""`k1edge contract`: prints the MQTT contract as committed, or as the message classes give it now.

Consumes the documents beside the classes; emits JSON Schema or AsyncAPI 3 on standard output.
"""

from __future__ import annotations

import argparse

from k1edge.k1.contract import schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge contract --asyncapi > k1edge.asyncapi.json
  k1edge contract | less

exit code: 0 done"""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON Schema (the default)")
    form.add_argument("--asyncapi", action="store_true", help="AsyncAPI 3")
    parser.add_argument("--generate", action="store_true", help="generate it again from the classes, to commit after a change")


def main(args: argparse.Namespace) -> int:
    if args.generate:
        print(schema.text(schema.asyncapi() if args.asyncapi else schema.json_schema()), end="")
    else:
        print(schema.committed(schema.ASYNCAPI if args.asyncapi else schema.JSON_SCHEMA), end="")
    return 0
