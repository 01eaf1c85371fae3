"""A piece whose end leads into its own beginning. In: a performance whose ending is a loop; out: its sound.

The piece is played twice without a stop and the second time is kept: what rings over the end, and where loudness and
effects have come to, is then heard over the beginning too. In the last moment the second end goes over into the first
one, which is what the beginning has really followed. The calling thread does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS
from engine.performance import Performance, Samples, Sound, step

_SEAM_FRAMES = 1440
"""30 ms, in which nothing begins as a rule: the next thing to begin is the first beat."""


def can_loop(performance: Performance, num_frames: int | None) -> bool:
    """Is the whole of what has just begun a loop of `num_frames`?"""
    controller, has_loops = performance.controller, performance.generator.traits.has_loops
    is_whole = performance.next_block == performance.num_controls == 0 and not performance.is_replaying
    return has_loops and is_whole and controller.loops and controller.end_frame == num_frames


def play_loop(
    performance: Performance, num_frames: int, before_block: Callable[[], None], *, stems: bool, notes: bool
) -> Iterator[Sound]:
    """The second of two passes, in sounds of BLOCK_FRAMES or less. While the first is made, `before_block` is called
    and sounds without frames have its notes, so that all that begins is told once, in order."""
    generator = performance.generator
    second = generator.traits.latency_frames + num_frames
    seam = second - _SEAM_FRAMES, second
    ends: list[Sound] = []
    blend: _Blend | None = None
    for frame in range(0, second + num_frames, BLOCK_FRAMES):
        is_second = frame + BLOCK_FRAMES > num_frames
        if is_second and frame <= num_frames:
            performance.begin_anew()
        if not is_second:
            before_block()
        sound = step(generator, [performance], stems=stems, notes=notes)[0]
        if (part := _between(sound, frame, *seam)) is not None:
            ends.append(part)
        if not is_second and sound.notes is not None:
            yield sound.between(0, 0)
        last = second + num_frames
        if (part := _between(sound, frame, second, last - _SEAM_FRAMES)) is not None:
            yield part
        if (part := _between(sound, frame, last - _SEAM_FRAMES, last)) is not None:
            blend = blend or _Blend(_joined(ends))
            blend.add(part)
    assert blend is not None
    yield blend.blended()


class _Blend:
    """Goes over from what is added to what there was the time before."""

    def __init__(self, before: Sound) -> None:
        self._before, self._after = before, list[Sound]()

    def add(self, part: Sound) -> None:
        self._after.append(part)

    def blended(self) -> Sound:
        """As loud as both, whether they are alike to the sample or in nothing but what they play."""
        one, other = _joined(self._after), self._before
        power = float(np.sqrt((one.pcm**2).sum() * (other.pcm**2).sum()))
        likeness = max(0.0, float((one.pcm * other.pcm).sum()) / power) if power else 1.0
        rising = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_SEAM_FRAMES) + 1) / _SEAM_FRAMES)
        falling = 1 - rising
        loudness = np.sqrt(rising**2 + falling**2 + 2 * likeness * rising * falling)
        gains = [(gain / loudness).astype(np.float32)[:, None] for gain in (falling, rising)]
        one, other = one.under(gains[0]), other.under(gains[1])
        stems = None if one.stems is None or other.stems is None else one.stems + other.stems
        return Sound(one.pcm + other.pcm, stems)


def _between(sound: Sound, frame: int, first: int, last: int) -> Sound | None:
    """What of a block, which begins at `frame`, lies in `first` … `last` - 1, without its notes."""
    start, end = max(0, first - frame), min(BLOCK_FRAMES, last - frame)
    return replace(sound.between(start, end), notes=None) if start < end else None


def _joined(sounds: list[Sound]) -> Sound:
    pcm: Samples = np.concatenate([sound.pcm for sound in sounds])
    stems: list[npt.NDArray[np.float32]] = [sound.stems for sound in sounds if sound.stems is not None]
    assert pcm.shape[1] == CHANNELS
    return Sound(pcm, np.concatenate(stems, axis=2) if stems else None)
