"""How loud sound is, and how to make it as loud as asked. In: sound; out: figures, or sound.

Remembers nothing; the calling thread does the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.filter import Graph

from engine.audio import CHANNELS, SAMPLE_RATE
from streaming.files.sound import Samples, Sound, from_av_frame, to_av_frames

TRUE_PEAK_DB = -1.0
LIMITER_MARGIN_DB = 0.2
"""The limiter sees peaks at four times the rate; what lies between those samples and the way back down fits in here."""
SILENCE_LUFS = -70.0
"""The absolute gate of ITU-R BS.1770-4: at or below it there is no loudness to speak of."""
_NEAR_ENOUGH_LU = 0.1
_MAX_PASSES = 5


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness (ITU-R BS.1770-4) and true peak; None where there is only silence."""

    lufs: float | None
    true_peak_db: float | None


@dataclass(frozen=True, slots=True)
class Level:
    """A gain into a limiter of peaks; without a ceiling there is no limiter."""

    gain_db: float = 0.0
    ceiling_db: float | None = None


@dataclass(frozen=True, slots=True)
class Levelled:
    """`sound` at a level, of the same length; made anew whenever it is gone through."""

    sound: Sound
    level: Level

    def __iter__(self) -> Iterator[Samples]:
        if self.level == Level():
            yield from self.sound
            return
        num_given = num_made = 0

        def given() -> Iterator[Samples]:
            nonlocal num_given
            for samples in self.sound:
                num_given += len(samples)
                yield samples

        for frame in filtered(given(), _chain(self.level)):
            samples = from_av_frame(frame)[: num_given - num_made]
            num_made += len(samples)
            yield samples
        if num_made < num_given:
            yield np.zeros((num_given - num_made, CHANNELS), np.float32)


def measure(sound: Sound) -> Loudness:
    """Loudness of the whole, by libavfilter's ebur128."""
    found: dict[str, str] = {}
    for frame in filtered(sound, [("ebur128", "peak=true:metadata=1")]):
        found = dict(frame.metadata) or found  # it speaks every 100 ms; a shorter rest at the end says nothing
    lufs = float(found.get("lavfi.r128.I", SILENCE_LUFS))
    peak = float(found.get("lavfi.r128.true_peak", 0.0))
    return Loudness(
        lufs=round(lufs, 2) if lufs > SILENCE_LUFS else None,
        true_peak_db=round(20 * float(np.log10(peak)), 2) if peak > 0 else None,
    )


def level_for(sound: Sound, lufs: float) -> Level:
    """The level that brings the whole to `lufs` with peaks of TRUE_PEAK_DB at most; silence stays silence."""
    level, measured = Level(), measure(sound).lufs
    slope = 1.0  # by how much the loudness rises with the gain; the limiter takes some of it away
    for _ in range(_MAX_PASSES):
        if measured is None or abs(lufs - measured) < _NEAR_ENOUGH_LU:
            break
        step_db = (lufs - measured) / slope
        level = Level(level.gain_db + step_db, TRUE_PEAK_DB - LIMITER_MARGIN_DB)
        before, measured = measured, measure(Levelled(sound, level)).lufs
        if measured is not None:
            slope = float(np.clip((measured - before) / step_db, 0.25, 1.0))
    return level


def _chain(level: Level) -> list[tuple[str, str]]:
    """libavfilter's filters that bring sound to `level`."""
    chain = [("volume", f"{level.gain_db}dB:precision=float")]
    if level.ceiling_db is not None:
        limit = 10 ** (level.ceiling_db / 20)
        chain += [
            ("aresample", f"{4 * SAMPLE_RATE}"),
            ("alimiter", f"limit={limit:.6f}:level=false:latency=true:attack=5:release=80"),
            ("aresample", f"{SAMPLE_RATE}"),
        ]
    return [*chain, ("aformat", f"flt:{SAMPLE_RATE}:stereo")]


def filtered(sound: Sound, chain: list[tuple[str, str]]) -> Iterator[av.AudioFrame]:
    """Sound through libavfilter's filters, each a name and its arguments."""
    return filtered_frames(to_av_frames(sound), chain)


def filtered_frames(frames: Iterator[av.AudioFrame], chain: list[tuple[str, str]]) -> Iterator[av.AudioFrame]:
    """Frames of one kind, whichever it is, through libavfilter's filters."""
    first = next(frames, None)
    if first is None:
        return
    graph = Graph()
    nodes = [
        graph.add_abuffer(
            format=first.format.name, sample_rate=first.sample_rate, layout=first.layout.name, time_base=first.time_base
        )
    ]
    nodes += [graph.add(name, arguments) for name, arguments in chain]
    nodes.append(graph.add("abuffersink"))
    for source, sink in zip(nodes, nodes[1:], strict=False):
        source.link_to(sink)
    graph.configure()
    for frame in itertools.chain([first], frames):
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            frame = graph.pull()
            assert isinstance(frame, av.AudioFrame)
            yield frame
        except (BlockingIOError, EOFError):
            return
