"""A prompt is read beside the event loop, and nothing else is."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from moods.control import parse_control
from moods.errors import MoodsError
from moods.prompt import resolve_prompt
from streaming.messages import explained
from streaming.reading import read_asked


@pytest.mark.parametrize(
    ("asked", "is_beside"),
    [
        ("a quiet walk home", True),
        ({"type": "steer", "set": {"prompt": "a quiet walk home"}}, True),
        ({"timeline": {"sections": [{"at": 0, "prompt": "a quiet walk home"}]}}, True),
        ({"type": "steer", "set": {"energy": 0.5}}, False),
        ([], False),
    ],
    ids=str,
)
async def test_only_what_holds_a_prompt_leaves_the_event_loop(asked: Any, is_beside: bool) -> None:
    threads: list[threading.Thread] = []
    assert await read_asked(lambda obj: (threads.append(threading.current_thread()), obj)[1], asked) == asked
    assert (threads[0] is not threading.current_thread()) == is_beside


async def test_a_mistake_beside_the_event_loop_is_raised_here() -> None:
    with pytest.raises(MoodsError, match="nothing of"):
        await read_asked(parse_control, {"type": "steer", "set": {"prompt": "xyzzy", "strict": True}})


def test_what_is_explained_is_what_was_understood() -> None:
    told = explained(resolve_prompt("sad piano in D minor, no drums, 90 bpm, 15 second hook, xyzzy"))
    assert told["understood"] and told["mood"] == {"sad": 1.0} and told["unknown"] == ["xyzzy"]
    assert (told["bpm"], told["key"], told["seconds"]) == (90, "D minor", 15)
    assert (told["layers"], told["instruments"]) == ({"drums": "mute"}, {"piano": "acoustic"})
    nothing = explained(resolve_prompt("xyzzy"))
    assert nothing == {"prompt": "xyzzy", "understood": False, "mood": {}, "unknown": ["xyzzy"]}
