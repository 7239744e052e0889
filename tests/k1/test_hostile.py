"""Whatever a stranger sends: no crash, and a code for each refusal."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.k1 import contract
from k1edge.k1.contract import ContractError
from k1edge.k1.contract.message import LATEST_MS
from k1edge.k1.render import frame
from k1edge.k1.simulator import VirtualK1
from k1edge.programs.panel import SiteView
from tests.k1.hostile import NODE, SITE, strangers

EXAMPLES, PER_EXAMPLE = 50, 200
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
STAMP = contract.Stamp(1_700_000_000_000, True)
seeds = st.integers(0, 2**32)


@settings(max_examples=EXAMPLES)
@given(seeds)
def test_ten_thousand_hostile_payloads_are_decoded_or_refused_with_a_code(seed):
    for topic, payload in strangers(seed, PER_EXAMPLE):
        try:
            message = contract.decode(topic, payload)
        except ContractError as refused:
            assert re.fullmatch(r"[A-Z_]+", refused.code)
            assert 0 < len(refused.reason) <= 512
            assert len(refused.request_id) <= 64
        else:
            assert len(payload) <= message.LIMIT_BYTES
            assert 0 <= message.ts_ms <= LATEST_MS
            json.loads(contract.encode(message), parse_constant=_refuse)


@settings(max_examples=10)
@given(seeds)
def test_a_virtual_k1_obeys_or_refuses_and_goes_on_shining(seed):
    k1 = VirtualK1(SITE, NODE)
    for now_ms, (topic, payload) in enumerate(strangers(seed, PER_EXAMPLE)):
        for answer in k1.hear(topic, payload, float(now_ms), STAMP):
            assert len(answer.payload) < 8192
    assert frame(k1.show(PER_EXAMPLE + 200.0)).shape == (160, 3)
    assert 0 < k1.counters.rejected <= PER_EXAMPLE


@settings(max_examples=10)
@given(seeds, st.integers(1, 120))
def test_a_monitor_never_puts_a_strangers_control_characters_on_the_screen(seed, columns):
    view = SiteView("+")
    for topic, payload in strangers(seed, PER_EXAMPLE):
        view.take(topic, payload, 0.0)
    for text, _ in view.lines(columns, 1.0):
        assert len(text) <= columns
        assert not CONTROL.search(text)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} left in a message")
