"""Music without a clock: a take performed as fast as it goes.

In: a take and a length; out: blocks. Remembers nothing between calls; the calling thread does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE, Block
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.errors import BadTake
from engine.generator import Generator, Made, Traits
from engine.loops import can_loop, play_loop
from engine.performance import Beat, Performance, Sound, step
from engine.redo import Redoing, Region, regions_between
from engine.take import Entry, Take
from moods.control import parse_control
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR
from moods.opening import Opening
from moods.timeline import SHORTEST_S

_RAMP_FRAMES = 192
"""4 ms: short enough to leave a stop abrupt, long enough not to click."""
_AFTERWARDS_FRAMES = 10 * SAMPLE_RATE
"""How long a take that has no ending is heard after what was asked last."""


def take_ending_at(num_frames: int, how: str, opening: Opening, seed: int) -> Take:
    """A take whose last sound is over at `num_frames`: a piece of that length, begun and ended with its theme.

    `how` is one of `cadence`, `ring`, `fade`, `stop`. Raises `moods.errors.BadControl` for another word. What a piece
    cannot have, states and an autopilot, is music without end, ended there.
    """
    if opening.can_be_piece and num_frames >= SHORTEST_S * SAMPLE_RATE:
        return Take(opening.as_piece(num_frames / SAMPLE_RATE, how), seed)
    control = parse_control({"type": "end", "how": how, "at": {"seconds": num_frames / SAMPLE_RATE}})
    return Take(opening, seed, (Entry(0, 0, control),))


def begin(generator: Generator, take: Take) -> Performance:
    """Begin `take` in slot 0 of `generator`, for `perform`. Raises `BadTake`."""
    take.check_performable(generator.traits)
    return Performance.of(generator, 0, take, tail_frames=generator.traits.latency_frames)


def perform(
    performance: Performance, num_frames: int | None = None, before_block: Callable[[], None] = lambda: None
) -> Iterator[Block]:
    """The blocks of `play`: float32 [1, 2, BLOCK_FRAMES or less] each."""
    for sound in play(performance, num_frames, before_block):
        if len(sound.pcm):
            yield sound.pcm.T[None]


def play(
    performance: Performance,
    num_frames: int | None = None,
    before_block: Callable[[], None] = lambda: None,
    *,
    stems: bool = False,
    notes: bool = False,
    regions: Sequence[Region] = (),
) -> Iterator[Sound]:
    """Play on to the frame `num_frames`, or for ever, in sounds of BLOCK_FRAMES or less.

    `before_block` is called before each block is made; what a skip leaves out of the stream is silence. `regions`, as
    `regions_of` the take gives them, are composed once more; all else is as it is without.
    The generator's latency is cut off, so that frame 0 is the music's: beats lie in a file where the clock has them.
    The last moment is brought to zero: an ending's own fade moves by whole blocks, and other music is cut off; but a
    whole piece that loops leads into its beginning (`engine/loops.py`).
    The slot is free again when the iterator ends or is closed.
    """
    try:
        if num_frames is not None and can_loop(performance, num_frames):
            yield from play_loop(performance, num_frames, before_block, stems=stems, notes=notes)
        else:
            yield from _play_once(performance, num_frames, before_block, regions, stems=stems, notes=notes)
    finally:
        performance.close()


def _play_once(
    performance: Performance,
    num_frames: int | None,
    before_block: Callable[[], None],
    regions: Sequence[Region],
    *,
    stems: bool,
    notes: bool,
) -> Iterator[Sound]:
    generator, silence = performance.generator, np.zeros((BLOCK_FRAMES, CHANNELS), np.float32)
    first = generator.traits.latency_frames
    last = None if num_frames is None else first + num_frames
    frame, redoing = 0, Redoing(performance, regions, stems=stems, notes=notes)
    while last is None or frame < last:
        sound = Sound(silence)
        if performance.next_block * BLOCK_FRAMES == frame:
            before_block()
            sound = redoing.step()
        start, end = max(0, first - frame), BLOCK_FRAMES
        if last is not None and frame + BLOCK_FRAMES > last - _RAMP_FRAMES:
            end = min(BLOCK_FRAMES, last - frame)
            frames_left = np.arange(BLOCK_FRAMES - 1, -1, -1) + last - frame - BLOCK_FRAMES
            sound = sound.under(np.clip(frames_left / _RAMP_FRAMES, 0.0, 1.0).astype(np.float32)[:, None])
        if start < end:
            yield sound.between(start, end)
        frame += BLOCK_FRAMES


def regions_of(take: Take, traits: Traits, num_frames: int) -> tuple[Region, ...]:
    """The regions of a take of `num_frames` that are to be composed once more, from bar line to bar line.

    Raises `BadTake` for a control that cannot be applied, and for a loop.
    """
    if not take.redone:
        return ()
    timeline = take.opening.timeline
    if timeline is not None and timeline.ending == "loop":
        raise BadTake("no region of a loop can be composed once more; take another seed for the whole of it")
    performance = Performance.of(cast(Generator, _Mute(traits)), 0, take)
    bars: list[tuple[int, int]] = []
    while performance.next_block * BLOCK_FRAMES < num_frames:
        for event in performance.beginning():
            if isinstance(event, Beat) and event.at.beat == 1:
                bars.append((event.at.frame, (event.at.bar - 1) * BEATS_PER_BAR))
        step(performance.generator, [performance])
    return regions_between(take.redone, bars, num_frames)


class _Mute:
    """As much of a generator as a performance needs that nobody hears."""

    def __init__(self, traits: Traits) -> None:
        self.traits = traits
        self._made = Made(np.zeros((1, CHANNELS, traits.block_multiple * BLOCK_FRAMES), np.float32))

    def open(self, slot: int, controller: Controller) -> None: ...

    def step(self, slots: Sequence[int], *, stems: bool, notes: bool) -> Made:
        return self._made

    def revise(self, slot: int, changed_since: int) -> None: ...

    def close(self, slot: int) -> None: ...


def length_of(take: Take, most_frames: int) -> int:
    """Frames of a take that was read: until its ending is over, or some seconds beyond its last control.

    Looks no further than a little beyond `most_frames`. Raises `BadTake` for a control that cannot be applied.
    """
    last_block = take.entries[-1].block if take.entries else 0
    assert take.header is not None
    generator = cast(Generator, _Mute(take.header.traits))
    performance = Performance.of(generator, 0, take)
    ended_frame = None
    while performance.next_block * BLOCK_FRAMES <= most_frames:
        if not performance.is_replaying and (performance.end_frame is None or not performance.is_sounding):
            break
        step(generator, [performance])
        if not performance.is_over:
            ended_frame = None
        elif ended_frame is None:
            ended_frame = performance.end_frame
    return last_block * BLOCK_FRAMES + _AFTERWARDS_FRAMES if ended_frame is None else ended_frame


def render(
    opening: Opening, seed: int, num_frames: int, config: EngineConfig, ending: str = "cadence"
) -> Iterator[Block]:
    """`perform` with a generator of its own what `take_ending_at` says; a timeline says its own length and ending."""
    take = Take(opening, seed)
    if opening.timeline is None:
        take = take_ending_at(num_frames, ending, opening, seed)
    else:
        num_frames = opening.timeline.num_frames
    generator = open_generator(config)
    regions = regions_of(take, generator.traits, num_frames)
    for sound in play(begin(generator, take), num_frames, regions=regions):
        yield sound.pcm.T[None]
