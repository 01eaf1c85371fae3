"""A take is a document: it is read back as it was written, and what is not one, or not ours, is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.audio import SAMPLE_RATE
from engine.errors import BadTake
from engine.generator import Model, Traits
from engine.render import length_of
from engine.take import Entry, Rest, Resume, Skip, TakeOpening, read_control, read_take, write_take
from moods.control import parse_control
from moods.opening import parse_opening
from tests.streaming.sines import Sines

OPENING = {"mood": "epic", "style": {"lofi": 0.7, "jazz": 0.2, "house": 0.3}, "seed": 7}
STEER = {"type": "steer", "set": {"energy": 0.25}, "over": "2 bars", "id": "c"}
ENTRIES = [
    (10, STEER),
    (10, {"type": "skip", "blocks": 26}),
    (40, {"type": "rest"}),
    (50, {"type": "resume"}),
    (60, {"type": "transport", "do": "pause"}),
]
TRAITS = replace(Sines.traits, model=Model("score", "ab" * 32))


def written(
    entries: list[tuple[int, dict[str, Any]]] = ENTRIES, traits: Traits = TRAITS, is_complete: bool = True
) -> str:
    done = [Entry(index, block, read_control(message)) for index, (block, message) in enumerate(entries)]
    return "".join(write_take("s1", OPENING, 7, done, traits, is_complete=is_complete))


def test_a_take_is_read_as_it_was_written() -> None:
    take = read_take(written())
    assert (take.opening, take.seed) == (parse_opening({name: OPENING[name] for name in ("mood", "style")}), 7)
    controls = [parse_control(STEER), Skip(26), Rest(), Resume(), parse_control(ENTRIES[-1][1])]
    blocks = [10, 10, 40, 50, 60]
    assert take.entries == tuple(map(Entry, range(5), blocks, controls))
    take.check_performable(TRAITS)


def test_a_piece_that_was_skipped_is_no_block_that_was_left_out() -> None:
    entries = [
        (10, {"type": "skip", "at": "bar", "id": "s"}),
        (20, {"type": "skip", "blocks": 3}),
        (30, {"type": "skip"}),
    ]
    asked = [entry.control for entry in read_take(written(entries)).entries]
    assert asked == [parse_control(entries[0][1]), Skip(3), parse_control({"type": "skip"})]


def test_its_header_says_everything_once() -> None:
    header = json.loads(written().splitlines()[0])
    assert header["opening"] == {name: OPENING[name] for name in ("mood", "style")}
    assert (header["version"], header["seed"], header["model"]["sha256"]) == (1, 7, "ab" * 32)
    assert header.keys() & header["opening"].keys() == set()
    assert header.keys() == TakeOpening.model_fields.keys()


def test_what_was_done_is_written_as_it_was_asked() -> None:
    rows = [json.loads(line) for line in written().splitlines()[1:]]
    assert rows == [{"frame": block * 960, **message} for block, message in ENTRIES]


def header(**changes: Any) -> str:
    first, *rest = written().splitlines(keepends=True)
    fields = {name: value for name, value in (json.loads(first) | changes).items() if value is not ...}
    return "".join([json.dumps(fields) + "\n", *rest])


def line(message: str) -> str:
    return written() + message + "\n"


@pytest.mark.parametrize(
    "document, complaint",
    [
        ("", "is empty"),
        (b"RIFF\xff\xff\xff\xffWAVE", "it is no text in UTF-8"),
        (written().split("\n", 1)[1], 'line 1 is no header, its type is "steer"'),
        (header(version=...), "version is missing; this Undersong reads 1"),
        (header(version=2), "version is 2; this Undersong reads 1"),
        (header(seed=-1), "line 1: seed is -1"),
        (header(model={"name": "score"}), "line 1: model.sha256"),
        (header(entries=...), "line 1: entries"),
        (header(entries=5.5), "line 1: entries is 5.5"),
        (header(more=1), "line 1: more is 1"),
        (header(opening={"energy": 2}), "line 1: energy is 2; allowed is 0 … 1"),
        (header(block_frames=480), "its blocks are of 480 frames, here of 960"),
        (written()[:-9], "it is cut off in line 6"),
        (written().splitlines()[0][:-9], "it is cut off in line 1"),
        ("".join(written().splitlines(keepends=True)[:-2]), "3 lines follow its first, which says 5"),
        (written().splitlines()[0], "0 lines follow its first, which says 5"),
        (line('{"type": "panic", "frame": 57600}'), "6 lines follow its first, which says 5"),
        (line("rubbish"), "line 7 is not JSON"),
        (line("[]"), "line 7 is []; expected an object"),
        (line('{"type": "panic"}'), "line 7: frame is null; expected a multiple of 960"),
        (line('{"type": "panic", "frame": 57601}'), "line 7: frame is 57601"),
        (line('{"type": "panic", "frame": 960}'), "line 7: frame is 960, before the 57600 of the line above"),
        (line('{"type": "panik", "frame": 57600}'), 'line 7: type is "panik"'),
        (line('{"type": "skip", "frame": 57600, "blocks": 0}'), "line 7: blocks is 0; expected a whole number above 0"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(document: str | bytes, complaint: str) -> None:
    with pytest.raises(BadTake) as caught:
        read_take(document)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"name": "mrt2"}, "it was made with backend sines, here is mrt2"),
        ({"model": Model("score", "cd" * 32)}, "model score (abababababab…), here is score (cdcdcdcdcdcd…)"),
        ({"model": None}, "model score (abababababab…), here is none"),
        ({"patches": "ef" * 32}, "patches none, here is efefefefefef…"),
        ({"lead_frames": 0}, "lead 2880, here is 0"),
    ],
)
def test_what_would_be_other_music_is_refused_with_what_differs(change: dict[str, Any], complaint: str) -> None:
    take = read_take(written())
    with pytest.raises(BadTake) as caught:
        take.check_performable(replace(TRAITS, **change))
    assert complaint in str(caught.value)


def test_another_device_is_no_other_music() -> None:
    read_take(written()).check_performable(replace(TRAITS, device="cuda"))


def test_what_has_forgotten_its_beginning_is_refused() -> None:
    with pytest.raises(BadTake, match="is_complete is false"):
        read_take(written(is_complete=False)).check_performable(TRAITS)


STOP = {"type": "end", "how": "stop", "at": {"seconds": 3.0}}
PAUSE, PLAY, RESTART = ({"type": "transport", "do": do} for do in ("pause", "play", "restart"))


@pytest.mark.parametrize(
    "entries, seconds",
    [
        ([], 10.0),
        ([(100, PAUSE)], 12.0),
        ([(50, STOP)], 3.0),
        ([(50, STOP), (400, {"type": "duck", "gain_db": -3})], 3.0),
        ([(50, STOP), (75, PAUSE), (125, PLAY)], 3.98),  # the stop comes later by the 49 blocks that were silent
        ([(50, STOP), (100, PAUSE)], 12.0),
        ([(50, STOP), (100, RESTART)], 12.0),
        ([(50, {"type": "skip", "blocks": 100}), (150, STOP | {"at": {"seconds": 5.0}})], 5.0),
    ],
)
def test_a_take_lasts_until_its_ending_or_some_seconds_beyond_what_was_asked_last(
    entries: list[tuple[int, dict[str, Any]]], seconds: float
) -> None:
    assert length_of(read_take(written(entries)), 7200 * SAMPLE_RATE) == round(seconds * SAMPLE_RATE)


def test_who_looks_for_the_end_of_a_long_take_gives_up() -> None:
    month = 50 * 86_400 * 30
    assert length_of(read_take(written([(month, PAUSE)])), SAMPLE_RATE) > SAMPLE_RATE


def test_a_control_that_cannot_be_applied_is_named() -> None:
    cancel = {"type": "cancel", "id": "nobody"}
    with pytest.raises(BadTake, match='control 2, before frame 57600, cannot be applied: id is "nobody"'):
        length_of(read_take(written([(20, STEER), (60, cancel), (70, STOP | {"at": "now"})])), SAMPLE_RATE * 60)
