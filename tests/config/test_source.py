"""Every key of a TOML text is found, on the line it stands on."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.config.source import key_lines, nearest_line

TEXT = '''\
# a comment with [brackets] and key = value
top = 1
[a]   # [not.this]
plain = "x # y"
dotted.deep."quoted key" = 'l'
[a . b]
long = """
inside = 1
[neither]
\\""" still """
inline = { x = 1, y = { z = [1, { w = 2 }] } }
list = [
  1,     # one
  "]",
  [2, 3],
]
[[many]]
id = 1
[[many]]
id = 2
[many.sub]
deep = 2020-01-01 10:00:00
[[many.inner]]
last = true
[[many.inner]]
last = \'\'\'
a\'\'\'\'\'
end = 1.5
'''


def paths(value, path=()):
    """Every path in a parsed document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield (*path, key)
        yield from paths(each, (*path, key))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2), (("a",), 3), (("a", "plain"), 4), (("a", "dotted", "deep", "quoted key"), 5), (("a", "b"), 6),
        (("a", "b", "long"), 7), (("a", "b", "inline", "y", "z", 1, "w"), 11), (("a", "b", "list"), 12),
        (("a", "b", "list", 0), 13), (("a", "b", "list", 2, 1), 15), (("many",), 17), (("many", 0, "id"), 18),
        (("many", 1), 19), (("many", 1, "id"), 20), (("many", 1, "sub", "deep"), 22), (("many", 1, "inner", 0), 23),
        (("many", 1, "inner", 1, "last"), 26), (("many", 1, "inner", 1, "end"), 28),
    ],
)  # fmt: skip
def test_a_key_is_on_its_line(path, line):
    assert key_lines(TEXT)[path] == line


def test_windows_line_ends_count_once():
    assert key_lines(TEXT.replace("\n", "\r\n")) == key_lines(TEXT)


def test_a_key_that_is_not_there_is_on_the_line_of_its_table():
    lines = key_lines(TEXT)
    assert nearest_line(lines, ("many", 1, "missing", "deeper")) == 19
    assert nearest_line(lines, ("missing",)) is None


def test_every_path_that_tomllib_sees_has_a_line():
    assert set(paths(tomllib.loads(TEXT))) <= set(key_lines(TEXT))


scalars = st.sampled_from(['1', '"a]}#,"', "'''\n[x]\n'''", "1979-05-27 07:32:00", '"""\\"""a"""', "true", "-inf", '""'])
keys = st.sampled_from(["a", "b-1", '"q.x"', "'l # t'", "a.b", '"\\u00e9" . c', "_9"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: "[\n " + ", # c ]\n".join(each) + "\n]"),
        st.lists(st.tuples(keys, inner), max_size=2).map(lambda each: "{ " + ", ".join(f"{k} = {v}" for k, v in each) + " }"),
    ),
    max_leaves=6,
)
lines_of_toml = st.one_of(
    st.tuples(keys, values).map(lambda each: f"{each[0]} = {each[1]} # c"),
    keys.map(lambda key: f"[ {key} ]"),
    keys.map(lambda key: f"[[{key}]]"),
    st.just("  # only = a comment"),
)


@given(st.lists(lines_of_toml, max_size=8).map("\n".join))
def test_the_scanner_agrees_with_tomllib_on_what_there_is(text):
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(key_lines(text)) == set(paths(document))


def test_nesting_a_thousand_deep_does_not_exhaust_the_stack():
    deep = "x = " + "[" * 5000 + "]" * 5000
    assert len(key_lines(deep)) == 5000
