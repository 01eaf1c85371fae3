"""A region is composed once more and all else stays as it is; a piece of another length has the same theme."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.errors import BadTake
from engine.generator import Generator
from engine.performance import Sound
from engine.redo import regions_between
from engine.render import begin, play, regions_of
from engine.take import Entry, Take, refitted
from moods.control import parse_control
from moods.opening import parse_opening
from moods.timeline import Redo, parse_timeline
from moods.variation import variation_seed

SECONDS = 14
PIECE = {"duration": SECONDS, "mood": "travel", "fps": 25}
LEAD = 4


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    yield open_generator(EngineConfig(device="cpu"))


def made(generator: Generator, take: Take, seconds: float) -> tuple[Sound, np.ndarray]:
    """The whole of it as one sound, and its notes."""
    num_frames = round(seconds * SAMPLE_RATE)
    regions = regions_of(take, generator.traits, num_frames)
    sounds = list(play(begin(generator, take), num_frames, stems=True, notes=True, regions=regions))
    pcm = np.concatenate([sound.pcm for sound in sounds])
    stems = np.concatenate([sound.stems for sound in sounds if sound.stems is not None], axis=2)
    return Sound(pcm, stems), np.concatenate([sound.notes for sound in sounds if sound.notes is not None])


def lead_of(notes: np.ndarray, before: int) -> list[int]:
    return notes["pitch"][(notes["layer"] == LEAD) & (notes["frame"] < before)].tolist()


def test_a_region_is_other_music_and_all_else_the_same_to_the_sample(generator: Generator) -> None:
    take = Take(parse_opening({"timeline": PIECE}), 11)
    again = Take(take.opening, 11, redo=(Redo(start=4, end=6.5, seed=5), Redo(start=6.5, end=9, seed=6)))
    (region,) = regions_of(again, generator.traits, SECONDS * SAMPLE_RATE)
    (before, notes_before), (after, notes_after) = made(generator, take, SECONDS), made(generator, again, SECONDS)
    start, end = region.start_frame, region.end_frame
    assert end is not None and 2 * SAMPLE_RATE < end - start < 8 * SAMPLE_RATE
    for old, new in ((before.pcm, after.pcm), (before.stems.T, after.stems.T)):
        np.testing.assert_array_equal(old[:start], new[:start])
        np.testing.assert_array_equal(old[end:], new[end:])
    assert np.abs(before.pcm[start:end] - after.pcm[start:end]).max() > 0.05
    is_inside = [(notes["frame"] >= start) & (notes["frame"] < end) for notes in (notes_before, notes_after)]
    assert np.array_equal(notes_before[~is_inside[0]], notes_after[~is_inside[1]])
    assert not np.array_equal(notes_before[is_inside[0]], notes_after[is_inside[1]])
    steps = np.abs(np.diff(after.pcm, axis=0)).max(axis=1)
    for seam in (start, end):  # no click where they meet
        assert steps[seam - 200 : seam + 200].max() < 2 * np.abs(np.diff(before.pcm, axis=0)).max()


def test_regions_lie_between_bar_lines() -> None:
    bars = [(number * 2 * SAMPLE_RATE, number * 4) for number in range(6)]
    asked = [Redo(start=1.2, end=4.9, seed=1), Redo(start=9.3, end=12, seed=2)]
    first, last = regions_between(asked, bars, 12 * SAMPLE_RATE)
    assert (first.start_frame, first.end_frame) == (2 * SAMPLE_RATE, 4 * SAMPLE_RATE)
    assert first.beats == ((range(4, 8), 1),)
    assert (last.start_frame, last.end_frame) == (10 * SAMPLE_RATE, None)


def test_no_region_of_a_loop_is_redone(generator: Generator) -> None:
    redo = [{"start": 1, "end": 4, "seed": 1}]
    take = Take(parse_opening({"timeline": PIECE | {"ending": "loop", "redo": redo}}), 1)
    with pytest.raises(BadTake, match="loop"):
        regions_of(take, generator.traits, SECONDS * SAMPLE_RATE)


def test_a_piece_of_another_length_states_the_same_theme_first(generator: Generator) -> None:
    take = Take(parse_opening({"timeline": {"duration": 30, "mood": "epic"}}), 11)
    leads = []
    for seconds in (20, 30, 45):
        other = refitted(take, seconds * SAMPLE_RATE, "cadence")
        timeline = other.opening.timeline
        assert timeline is not None and timeline.num_frames == seconds * SAMPLE_RATE
        first = timeline.plan.sections[0]
        # The last bar of the statement leads on to what comes next, which is not the same in all of them.
        _, notes = made(generator, other, 10)
        leads.append((first.num_bars - 1, notes))
    num_bars = min(bars for bars, _ in leads)
    pitches = [lead_of(notes, round(num_bars * 1.9 * SAMPLE_RATE)) for _, notes in leads]
    assert num_bars >= 3 and len(pitches[0]) >= 8
    shared = min(map(len, pitches))
    assert pitches[0][:shared] == pitches[1][:shared] == pitches[2][:shared]


def test_what_was_heard_live_stays_as_it_was_until_its_new_ending(generator: Generator) -> None:
    def entry(index: int, seconds: float, **control: object) -> Entry:
        return Entry(index, round(seconds * SAMPLE_RATE) // BLOCK_FRAMES, parse_control(control))

    heard = [
        entry(0, 1, type="steer", set={"energy": 0.9}),
        entry(1, 3, type="end", at={"seconds": 40}),
        entry(2, 14, type="steer", set={"energy": 0.1}),
    ]
    take = Take(parse_opening({"mood": "epic"}), 3, tuple(heard))
    other = refitted(take, 12 * SAMPLE_RATE, "ring")
    assert [type(done.control).__name__ for done in other.entries] == ["End", "Steer"]
    live, short = made(generator, take, 5)[0].pcm, made(generator, other, 12)[0].pcm
    np.testing.assert_array_equal(live[: 4 * SAMPLE_RATE], short[: 4 * SAMPLE_RATE])
    assert np.abs(short[-4:]).max() < 0.01


def test_a_timeline_of_another_length_leaves_out_what_lies_beyond() -> None:
    timeline = parse_timeline(
        {"duration": 30, "cuts": [3, 20], "hits": [4.0, 25], "sections": [{"at": 8, "energy": 1}, {"at": 21}],
         "speech": [[1, 2], [10, 14], [20, 22]], "redo": [{"start": 1, "end": 12, "seed": 4}], "ending": "ring"}
    )  # fmt: skip
    short = timeline.refitted(11.5, "stop")
    assert (short.duration, short.ending) == (11.5, "stop")
    assert [cut.at for cut in short.cuts] == [3] and [hit.at for hit in short.hits] == [4]
    assert [section.at for section in short.sections] == [8] and short.speech == [(1, 2), (10, 11.5)]
    assert short.redo == [] and timeline.refitted(60).redo == timeline.redo


def test_variations_have_seeds_of_their_own_and_the_first_is_the_piece_itself() -> None:
    seeds = [variation_seed(7, number) for number in range(8)]
    assert seeds[0] == 7 and len(set(seeds)) == 8
    assert seeds == [variation_seed(7, number) for number in range(8)] and max(seeds) < 2**53
