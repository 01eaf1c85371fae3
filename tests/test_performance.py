"""A performance keeps two times, fades wherever it begins or stops to sound, and can be kept and done again."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from engine.generator import Generator
from engine.performance import Beat, Performance, step
from engine.take import Act, Entry, Rest, Resume, Skip
from moods.control import parse_control
from moods.errors import OutOfRange
from moods.opening import parse_opening
from tests.generators.pairs import Pairs
from tests.streaming.sines import Sines
from tests.streams import stream_up_to

OPENING = parse_opening({"prompt": "calm piano", "energy": 0.5})
PAUSE, PLAY, RESTART = (parse_control({"type": "transport", "do": do}) for do in ("pause", "play", "restart"))
PANIC = parse_control({"type": "panic"})
KINDS = pytest.mark.parametrize("make", [Sines, Pairs])


def begin(generator: Generator, slot: int = 0, seed: int = 1) -> Performance:
    return Performance(generator, slot, OPENING, seed)


def play(performance: Performance, num_blocks: int) -> np.ndarray:
    """[T, 2]."""
    return np.concatenate([step(performance.generator, [performance])[0].pcm for _ in range(num_blocks)])


def play_log(performance: Performance, acts: dict[int, list[Act]], num_blocks: int) -> np.ndarray:
    """The stream up to a block, [T, 2], with all this done in it."""
    flat = [(block, act) for block, row in acts.items() for act in row]
    performance.replay(Entry(index, block, act) for index, (block, act) in enumerate(flat))
    return stream_up_to(performance, num_blocks)


def is_silent(pcm: np.ndarray) -> np.ndarray:
    """Block by block."""
    return ~pcm.reshape(-1, BLOCK_FRAMES, 2).any(axis=(1, 2))


@KINDS
def test_music_waits_while_it_is_silent_and_goes_on_where_it_was(make: Callable[[int], Generator]) -> None:
    performance = begin(make(1))
    untouched = play(begin(make(1)), 40)
    before = play(performance, 7)
    performance.apply(PAUSE)
    silent = play(performance, 6)
    performance.apply(PLAY)
    after = play(performance, 10)
    assert np.array_equal(before, untouched[: len(before)])
    assert is_silent(silent).tolist() == [False] + 5 * [True]
    frame = 8 * BLOCK_FRAMES  # the block that faded out has been heard
    assert np.array_equal(after[BLOCK_FRAMES:], untouched[frame + BLOCK_FRAMES : frame + len(after)])
    assert performance.music_frame == performance.next_block * BLOCK_FRAMES - 5 * BLOCK_FRAMES


@KINDS
@pytest.mark.parametrize("stop, start", [(PAUSE, PLAY), (PANIC, PLAY), (Rest(), Resume()), (RESTART, RESTART)])
def test_it_fades_wherever_it_begins_or_stops_to_sound(make: Callable[[int], Generator], stop: Act, start: Act) -> None:
    for block in (9, 10):
        pcm = play_log(begin(make(1)), {block: [stop], block + 7: [start]}, 30)
        assert np.abs(np.diff(pcm, axis=0)).max() < 0.35  # the tones' own steepest step, and no jump to or from zero
        middle = pcm[block * BLOCK_FRAMES :][:BLOCK_FRAMES]
        assert np.abs(middle[-8:]).max() < 1e-4 < np.abs(middle[:8]).max()


@KINDS
def test_a_countdown_is_over_in_time_though_the_music_stands_still(make: Callable[[int], Generator]) -> None:
    countdown = parse_control({"type": "countdown", "seconds": 1.2, "ending": "stop"})
    acts = {4: [countdown], 10: [PAUSE], 15: [Rest(), PLAY], 20: [Resume()], 30: [Skip(7)]}
    performance = begin(make(1))
    sounds = ~is_silent(play_log(performance, acts, 40))
    assert performance.zero is not None and performance.zero.frame == (4 + 60) * BLOCK_FRAMES
    sounds = np.concatenate([sounds, ~is_silent(play(performance, 40))])
    assert performance.zero is None
    assert sounds[57:63].all() and not sounds[64:].any() and performance.is_over
    performance.apply(PLAY)
    assert not performance.is_over  # it begins again


@KINDS
def test_music_goes_on_where_a_countdown_was_over_while_it_stood_still(make: Callable[[int], Generator]) -> None:
    countdown = parse_control({"type": "countdown", "seconds": 1.2, "ending": "stop", "then": "go on"})
    performance = begin(make(1))
    stream = play_log(performance, {4: [countdown], 10: [PAUSE], 90: [PLAY]}, 100)
    assert not is_silent(stream)[90:].any() and performance.zero is None


@KINDS
def test_a_restart_is_the_same_music_again(make: Callable[[int], Generator]) -> None:
    untouched = play(begin(make(1)), 20)
    again = play_log(begin(make(1)), {11: [RESTART]}, 30)[12 * BLOCK_FRAMES :]
    assert np.array_equal(again[BLOCK_FRAMES:], untouched[BLOCK_FRAMES : len(again)])


ACTS: dict[int, list[Act]] = {
    3: [parse_control({"type": "steer", "set": {"prompt": "epic battle", "energy": 0.9}, "over": 0.4, "at": "now"})],
    5: [
        parse_control({"type": "steer", "set": {"mood": "night", "bpm": 200}, "how": "cut", "at": "beat"}),
        parse_control({"type": "section", "do": "go", "to": "B", "at": "bar"}),
        parse_control({"type": "transport", "do": "slow", "rate": 0.5, "over": "1 beat"}),
    ],
    9: [PAUSE],
    13: [PLAY, *map(parse_control, ({"type": "duck", "gain_db": -12}, {"type": "volume", "by_db": -3}))],
    20: [Skip(5)],
    28: [Rest()],
    30: [RESTART],
    33: [Resume()],
    40: [parse_control({"type": "end", "how": "stop", "at": {"seconds": 1.0}})],
    55: [PLAY],
}


@KINDS
@pytest.mark.parametrize("kept_at", [1, 10, 12, 21, 29, 30, 32, 34, 45])
def test_kept_at_any_block_and_done_again_it_is_the_same_stream(make: Callable[[int], Generator], kept_at: int) -> None:
    whole = play_log(begin(make(1)), ACTS, 70)
    performance = begin(make(1))
    play_log(performance, ACTS, kept_at)
    performance.forget()
    kept = pickle.dumps(performance.snapshot())
    play(performance, 3)  # what it does afterwards does not reach into what was kept
    back = Performance.restore(make(2), 1, OPENING, pickle.loads(kept))
    frame = back.next_block * BLOCK_FRAMES
    assert np.array_equal(play_log(back, ACTS, 70)[frame:], whole[frame:])


@KINDS
def test_company_changes_nothing(make: Callable[[int], Generator]) -> None:
    alone = play_log(begin(make(1)), {9: [PAUSE], 14: [PLAY]}, 30)
    generator = make(3)
    many = [begin(generator, slot, seed) for slot, seed in enumerate((1, 2, 3))]
    for index, performance in enumerate(many):
        performance.replay([Entry(0, 9 + index, PAUSE), Entry(1, 14 + 2 * index, PLAY)])
    together = [step(generator, many[::-1])[-1].pcm for _ in range(30)]
    assert np.array_equal(np.concatenate(together), alone)


def test_the_volume_outlasts_a_restart_and_what_it_ends() -> None:
    performance = begin(Sines(1))
    before = performance.controller
    play_log(performance, {5: [parse_control({"type": "volume", "gain_db": -20, "over": 0}), RESTART]}, 20)
    assert performance.controller is not before
    assert performance.controller.intent(0).gain_db == performance.controller.volume_db == -20


def test_a_rest_outlasts_what_is_asked_meanwhile() -> None:
    acts: dict[int, list[Act]] = {5: [Rest()], 8: [PAUSE], 10: [PLAY], 12: [RESTART], 20: [Resume()]}
    performance = begin(Sines(1))
    silent = is_silent(play_log(performance, acts, 30))
    assert silent[6:20].all() and not silent[20:].any()
    assert performance.music_frame == 10 * BLOCK_FRAMES  # it was begun again in the meantime


def test_a_paused_music_that_rested_is_still_paused() -> None:
    acts: dict[int, list[Act]] = {5: [PAUSE], 8: [Rest()], 12: [Resume()], 20: [PLAY]}
    silent = is_silent(play_log(begin(Sines(1)), acts, 30))
    assert silent[6:20].all() and not silent[20:].any()


def test_seconds_are_those_of_the_stream_also_in_a_refusal() -> None:
    performance = begin(Sines(1))
    performance.apply(PAUSE)
    play(performance, 101)
    performance.apply(PLAY)
    ack = performance.apply(parse_control({"type": "hit", "at": {"seconds": 4.0}, "id": "h"}))
    assert ack.effective.frame == 4 * 48_000 and ack.effective.seconds == 4.0
    with pytest.raises(OutOfRange) as caught:
        performance.apply(parse_control({"type": "hit", "at": {"seconds": 1.0}}))
    assert (caught.value.value, performance.num_controls) == (1.0, 3)
    assert caught.value.low > 2.0


def test_what_begins_in_a_block_is_known_before_it_is_made() -> None:
    performance = begin(Sines(1))
    begun = []
    for block in range(100):
        for event in performance.beginning():
            assert block * BLOCK_FRAMES <= event.at.frame < (block + 1) * BLOCK_FRAMES
            begun += [event.at.frame] if isinstance(event, Beat) else []
        play(performance, 1)
    assert begun == [performance.controller.frame_of_beat(beat) for beat in range(len(begun))]
    assert len(begun) > 2


def test_controls_wait_for_what_is_made_transport_does_not() -> None:
    """A generator that makes two blocks at once: what has been made sounds as it was made, and fades at once."""
    untouched = play(begin(Pairs(1)), 12)
    performance = begin(Pairs(1))
    before = play(performance, 5)
    ack = performance.apply(parse_control({"type": "steer", "set": {"prompt": "epic battle"}, "over": 0, "at": "now"}))
    performance.apply(PAUSE)
    faded = play(performance, 1)
    assert ack.effective.frame == 6 * BLOCK_FRAMES
    performance.apply(PLAY)
    after = play(performance, 2)
    assert np.array_equal(before, untouched[: len(before)])
    assert np.abs(faded[-8:]).max() < 1e-4 < np.abs(faded[:8]).max()
    assert not np.array_equal(after, untouched[6 * BLOCK_FRAMES : 8 * BLOCK_FRAMES])


def test_who_has_not_asked_for_long_is_told_what_is_ahead_though_the_past_is_forgotten() -> None:
    performance = begin(Sines(1))
    performance.announcements()
    play(performance, 1000)
    performance.forget()
    (beat,) = [event for event in performance.announcements() if isinstance(event, Beat)]
    assert 0 <= beat.at.frame - performance.next_block * BLOCK_FRAMES < 60 * 48_000 / beat.at.bpm


@pytest.mark.parametrize("at", ["bar", {"seconds": 2.5}])
def test_a_pause_and_a_restart_wait_for_their_place_and_the_music_goes_on_from_there(at: Any) -> None:
    untouched, performance = play(begin(Sines(1)), 300), begin(Sines(1))
    ack = performance.apply(parse_control({"type": "transport", "do": "pause", "at": at, "id": "p"}))
    assert ack.fields["transport"].begin == ack.effective and [each.id for each in performance.pending()] == ["p"]
    if at == "bar":
        assert ack.effective.frame == performance.controller.frame_of_beat(0 if ack.effective.bar == 1 else 4)
    last_block = ack.effective.frame // BLOCK_FRAMES - 1
    kept = pickle.loads(pickle.dumps(performance.snapshot()))
    pcm = play(performance, last_block + 10)
    assert is_silent(pcm).tolist() == [False] * (last_block + 1) + [True] * 9
    assert not performance.pending()
    again = Performance.restore(Sines(1), 0, OPENING, kept)
    assert np.array_equal(play(again, last_block + 10), pcm)
    performance.apply(PLAY)
    sound, at_frame = play(performance, 5)[BLOCK_FRAMES:], (last_block + 2) * BLOCK_FRAMES
    assert np.array_equal(sound, untouched[at_frame : at_frame + len(sound)])
    performance.apply(parse_control({"type": "transport", "do": "restart", "at": "beat", "id": "r"}))
    assert performance.apply(parse_control({"type": "transport", "do": "pause", "at": "beat"})).replaces == ("r",)
    performance.apply(parse_control({"type": "transport", "do": "restart", "at": "beat", "id": "r"}))
    performance.apply(parse_control({"type": "cancel", "target": "r"}))
    assert not performance.pending()


def test_who_asked_is_told_until_somebody_else_steers() -> None:
    def ask(**control: Any) -> None:
        performance.apply(parse_control(control))

    performance = begin(Sines(1))
    play(performance, 5)
    ack = performance.apply(parse_control({"type": "steer", "set": {"mood": "epic"}, "at": "phrase", "by": "Anna"}))
    assert {each.by for each in performance.pending()} == {"Anna"}
    ask(type="duck", gain_db=-9, by="OBS")
    ask(type="hit")
    ask(type="transport", do="pause")
    play(performance, 5)
    kept = pickle.loads(pickle.dumps(performance.snapshot()))
    again = Performance.restore(Sines(1), 0, OPENING, kept)
    for each in (performance, again):
        asked = each.asked_by
        assert asked is not None and (asked.by, asked.wish, asked.frame) == ("Anna", "epic", ack.effective.frame)
        assert {waits.type: waits.by for waits in each.pending()} == {"steer": "Anna", "duck": "OBS", "hit": None}
    ask(type="stinger", name="reveal", id="s", by="Ben")
    assert performance.asked_by is not None and performance.asked_by.by == "Ben"
    ask(type="steer", set={"energy": 0.2})
    assert performance.asked_by is None


def test_of_many_who_asked_the_newest_are_remembered() -> None:
    performance = begin(Sines(1))
    for number in range(1000):
        performance.apply(parse_control({"type": "steer", "set": {"tension": number / 1000}, "by": f"user{number}"}))
    assert len(performance.controller.snapshot()["askers"]) <= 256
    assert {each.by for each in performance.pending()} == {"user999"}
