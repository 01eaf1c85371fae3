"""Whatever comes in by any door is answered with a control, or with a named mistake; nothing else comes of it.

The same examples every time; FUZZ_EXAMPLES=20000 looks at so many others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from moods.control import parse_control
from moods.errors import MoodsError
from moods.opening import parse_opening
from streaming.errors import StreamingError
from streaming.reading import parse_json
from streaming.transports import osc
from tests.streaming.fuzz import fuzzed
from tests.streaming.test_hearing import Asker

TYPES = (
    "steer", "state", "parameter", "section", "skip", "end", "transport", "panic", "duck", "volume", "cancel", "hit",
    "stinger", "dance",
)  # fmt: skip
KEYS = (
    "id", "set", "over", "at", "how", "name", "do", "to", "rate", "target", "gain_db", "by_db", "voice", "strength",
    "extra",
)  # fmt: skip
FIELDS = (
    "mood", "valence", "energy", "tension", "style", "bpm", "key", "density", "brightness", "layers", "temperature",
    "prompt", "danger",
)  # fmt: skip
WORDS = (
    "now", "beat", "bar", "phrase", "section", "glide", "cut", "bridge", "next", "stay", "go", "leave", "B", "pause",
    "play", "slow", "reveal", "epic", "lofi",
)  # fmt: skip
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*WORDS, "2 bars", "4 beats", "0 beats", "-1 bars", "1e99 bars", "mute", "A minor", "\ud800"])
    | st.floats(-2, 2)
)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
places = st.fixed_dictionaries({}, optional={"seconds": anything, "marker": anything, "frame": anything})
fields = st.dictionaries(st.sampled_from(FIELDS), anything | st.dictionaries(st.sampled_from(WORDS), plain), max_size=4)
controls = st.builds(
    lambda kind, rest: {"type": kind} | rest,
    st.sampled_from(TYPES) | anything,
    st.dictionaries(st.sampled_from(KEYS), anything | places | fields | st.lists(fields, max_size=2), max_size=5),
)
openings = st.dictionaries(
    st.sampled_from([*FIELDS, "name", "seed", "states", "transitions", "initial", "parameters", "timeline", "themes"]),
    anything
    | st.dictionaries(st.sampled_from(["calm", "combat", "danger"]), fields, max_size=3)
    | st.lists(st.dictionaries(st.sampled_from(["from", "to", "at", "over", "how", "min_dwell"]), plain), max_size=3),
    max_size=5,
)


@fuzzed(80)
@given(st.binary(max_size=60) | st.text(max_size=60) | controls.map(json.dumps))
def test_a_text_is_read_as_json_that_can_be_sent_on_or_refused(text: bytes | str) -> None:
    try:
        parsed = parse_json(text)
    except StreamingError as error:
        assert str(error)
    else:
        json.dumps(parsed, ensure_ascii=False).encode()


@fuzzed(100)
@given(controls | anything)
def test_a_control_is_read_as_what_it_asks_or_refused_in_one_line(asked: Any) -> None:
    try:
        control = parse_control(asked)
    except MoodsError as error:
        assert str(error) and "\n" not in str(error)
        str(error).encode()
    else:
        assert parse_control(control.asked()) == control


@fuzzed(60)
@given(openings | anything)
def test_an_opening_is_read_or_refused_in_one_line(asked: Any) -> None:
    try:
        parse_opening(asked)
    except MoodsError as error:
        assert str(error) and "\n" not in str(error)


@fuzzed(25)
@given(st.lists(controls.map(json.dumps) | st.text(max_size=30) | st.binary(max_size=30), max_size=30))
def test_each_message_is_answered_once_whatever_it_holds(texts: list[str | bytes]) -> None:
    async def hear() -> Asker:
        asker = Asker()
        for text in texts:
            await asker.hearing.hear(text)
        await asker.rest()
        return asker

    assert len(asyncio.run(hear()).answers) == len(texts)


@fuzzed(100)
@given(
    st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: b"#bundle\0" + bytes(8) + rest),
    st.sampled_from([*TYPES, "control", "layer", ""]),
    st.lists(st.sampled_from([*WORDS, *FIELDS, "", "a" * 300]), max_size=3),
    st.lists(plain | st.binary(max_size=5) | st.lists(plain, max_size=2), max_size=4),
)
def test_a_datagram_is_a_control_or_refused(datagram: bytes, kind: str, names: list[str], arguments: list[Any]) -> None:
    with contextlib.suppress(MoodsError):
        for parts in osc.split_datagram(datagram).values():
            for part in parts:
                osc.read_message(*osc.parse_message(part))
    try:
        _, control = osc.read_message("/".join(["", "undersong", "s", kind, *names]), arguments)
        parse_control(control)
    except (MoodsError, StreamingError) as error:
        assert str(error)
