"""The house keeps to its plan: imports go down only, each library has one door, and rooms stay small.

The layers, from the top: door (`__main__`), programs, daemon, composition, edges, pure, facts, ground. Every module is named
below, by its folder or by itself.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1] / "k1edge"
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
           for path in sorted(ROOT.rglob("*.py"))}  # fmt: skip

LAYERS = {
    "ground": ("errand", "interpreter", "whole"),
    "facts": ("frames", "device_facts", "config", "unfit"),
    "pure": ("clock", "box", "dsp", "beat", "genesis", "k1.contract"),
    "composition": ("pipeline", "live", "analysis"),
    "edges": ("audio", "k1", "library", "system"),
    "daemon": ("daemon",),
    "programs": ("programs", "api"),
    "door": ("__init__", "__main__"),
}
MAY_IMPORT = {
    "ground": set(),
    "facts": {"facts"},
    "pure": {"facts", "pure"},
    "composition": {"facts", "pure", "composition"},
    "edges": {"ground", "facts", "pure"},
    "daemon": {"ground", "facts", "pure", "composition", "edges", "daemon"},
    "programs": {"ground", "facts", "pure", "composition", "edges", "daemon", "programs"},
    "door": set(),
}
NEVER = {"dsp": ("beat", "genesis", "k1"), "beat": ("genesis", "k1"), "genesis": ("beat", "k1"), "k1": ("beat", "genesis")}
"""Siblings that know nothing of each other, within what their layer would allow."""

LINK = ("k1.link", "k1.outbox", "k1.session", "k1.tcp")
"""The edges' side of `k1/`; the rest of it, but for the contract, is the virtual K1."""

OUTSIDE = {
    "facts": {"numpy", "pydantic", "pydantic_core", "typing_extensions"},
    "pure": {"numpy", "scipy", "aubio", "pydantic", "pydantic_core", "typing_extensions"},
    "composition": {"numpy"},
}
"""What of other people's a layer may use at all; elsewhere, each library has its one door."""

DOORS = {
    "sounddevice": ("audio.linein",),
    "soundfile": ("audio.files",),
    "soxr": ("audio.files",),
    "av": ("audio.m4a",),
    "aubio": ("beat.aubio_engine",),
    "paho": LINK,
    "iotcore": ("system.broker",),
    "systemd": ("system.systemd",),
    "sqlite3": ("library",),
    "prometheus_client": ("daemon.metrics",),
}
IMPURE = {"time", "_thread", "threading", "multiprocessing", "concurrent", "asyncio", "queue", "socket", "select", "ssl",
          "signal", "subprocess", "os", "pathlib", "shutil", "tempfile", "sqlite3", "logging", "random"}  # fmt: skip
"""What the pure layer would do with the world: read its clock, wait for it, write to it, or be surprised by it."""

MODULE_LIMIT = 320
BODY_LIMIT, BODY_P90, BODY_MEDIAN = 60, 30, 8
POSITIONAL_LIMIT = 4
LONG_FOR_A_REASON: dict[str, str] = {}


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def layer_of(module: str) -> str:
    # `k1.contract` is pure although `k1` is an edge: the longest name decides.
    fitting = [(len(room), layer) for layer, rooms in LAYERS.items() for room in rooms if within(module, (room,))]
    assert fitting, f"k1edge/{module.replace('.', '/')}.py has no layer: put it into a folder, or name it in LAYERS"
    return max(fitting)[1]


def room_of(module: str) -> str:
    """Within the edges, what may not know its neighbours."""
    room = module.partition(".")[0]
    return room if room != "k1" else "k1.link" if within(module, LINK) else "k1.simulator"


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def walk_run_time(node: ast.AST):
    yield node
    for child in ast.iter_child_nodes(node):
        if not is_for_types_only(child):
            yield from walk_run_time(child)


@cache
def imports_of(module: str) -> frozenset[str]:
    """Every module that is imported, at the top or inside a function; our own without `k1edge.`"""
    names = set()
    for node in walk_run_time(tree_of(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = {name for name in whole if name.removeprefix("k1edge.") in MODULES}
            names |= ours if len(ours) == len(whole) else ours | {node.module}
    return frozenset(name.removeprefix("k1edge.") if name.startswith("k1edge.") else name for name in names)


def ours(module: str) -> set[str]:
    return {name for name in imports_of(module) if name in MODULES}


def foreign(module: str) -> set[str]:
    tops = {name.partition(".")[0] for name in imports_of(module) if name not in MODULES}
    return tops - {"k1edge", "__future__"}


def strings_of(module: str):
    """String constants, docstrings left out."""
    tree = tree_of(module)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def functions():
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of the body, without the docstring."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1


def test_the_plan_names_only_what_is_there():
    rooms = {*itertools.chain(*LAYERS.values()), *itertools.chain(*DOORS.values()), *LONG_FOR_A_REASON}
    assert not [room for room in rooms if not any(within(module, (room,)) for module in MODULES)]


def test_imports_go_down_only():
    def upward(module: str):
        layer = layer_of(module)
        for name in ours(module):
            neighbour = layer == "edges" and layer_of(name) == "edges" and room_of(name) == room_of(module)
            if layer_of(name) not in MAY_IMPORT[layer] and not neighbour:
                yield f"{module} ({layer}) imports {name}"

    assert not [wrong for module in MODULES for wrong in upward(module)]


def test_siblings_do_not_know_each_other():
    for room, never in NEVER.items():
        inside = [module for module in MODULES if within(module, (room,))]
        assert not [(module, name) for module in inside for name in ours(module) if within(name, never)]


def test_each_library_has_one_door():
    for library, rooms in DOORS.items():
        assert not [module for module in MODULES if library in foreign(module) and not within(module, rooms)], library


def test_the_lower_layers_use_no_library_but_those_named_for_them():
    for layer, allowed in OUTSIDE.items():
        inside = [module for module in MODULES if layer_of(module) == layer]
        assert not {m: more for m in inside if (more := foreign(m) - sys.stdlib_module_names - allowed)}


def test_pure_code_touches_nothing_outside():
    for module in MODULES:
        if layer_of(module) in ("pure", "composition"):
            calls = {ast.unparse(node.func) for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)}
            assert not foreign(module) & IMPURE, module
            assert not calls & {"open", "io.open", "print", "input"}, module


def test_each_process_of_ours_is_started_with_the_same_interpreter():
    again = ("programs.run", "programs.pictures")  # goes on as itself, and names it to a person
    assert {m for m in MODULES if "sys.executable" in ast.unparse(tree_of(m))} == {"interpreter", *again}


def test_only_the_contract_knows_topics():
    outside = [module for module in MODULES if not within(module, ("k1.contract",))]
    assert not [(m, text) for m in outside for text in strings_of(m) if re.search("k1/v1|/edge/|/device/", text)]


def test_what_the_daemon_imports_at_its_start_is_light():
    code = ("import sys, k1edge.programs.run, k1edge.pipeline, k1edge.config as c, k1edge.frames as f\n"
            "k1edge.pipeline.Pipeline(c.Settings(), f.StreamFormat(48000))\n"
            "print([m for m in ('scipy', 'soundfile', 'PIL', 'pytest', 'matplotlib') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_the_door_imports_no_program_before_it_is_asked_for():
    code = "import sys, k1edge.__main__; print([m for m in sys.modules if m.startswith('k1edge.')], 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['k1edge.__main__'] False\n", done.stderr


def test_every_module_says_what_it_is():
    assert not [module for module in MODULES if not ast.get_docstring(tree_of(module))]


def test_each_folder_says_of_which_layer_it_is():
    for layer, room in ((layer, room) for layer, rooms in LAYERS.items() if layer != "door" for room in rooms):
        if MODULES[room].name == "__init__.py":
            assert f"Layer: {layer}" in ast.get_docstring(tree_of(room)), room


def test_a_module_fits_on_a_few_screens():
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module for module, lines in lengths.items() if lines > MODULE_LIMIT} == set(LONG_FOR_A_REASON)


def test_no_function_is_long():
    assert not {name: body_lines(node) for name, node in functions() if body_lines(node) > BODY_LIMIT}


def test_most_functions_are_short():
    lengths = [body_lines(node) for _, node in functions()]
    assert median(lengths) <= BODY_MEDIAN
    assert quantiles(lengths, n=10)[-1] <= BODY_P90


def test_functions_take_few_positional_arguments():
    def count(node: ast.FunctionDef) -> int:
        # An underscore marks what a library hands over and nobody uses: that signature is not ours to choose.
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        return len([name for name in names if name not in ("self", "cls") and not name.startswith("_")])

    assert not {name: count(node) for name, node in functions() if count(node) > POSITIONAL_LIMIT}
