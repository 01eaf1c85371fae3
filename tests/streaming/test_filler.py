"""The filler: no click and no silence at its beginning, in its loop, and where the engine returns."""

from __future__ import annotations

import av
import numpy as np
import pytest

from streaming.encoders.opus import OpusEncoder
from streaming.engines.ring import Chunk, make_chunk
from streaming.filler import PAST_BLOCKS, Filler, make_loop

HERTZ = 231.7
STEEPEST = 0.4 * 2 * np.pi * HERTZ / 48_000


def tone(first_block: int, num_blocks: int) -> np.ndarray:
    """Blocks of a steady tone, [N, 960, 2]."""
    times = (first_block * 960 + np.arange(num_blocks * 960)) / 48_000
    left = 0.4 * np.sin(2 * np.pi * HERTZ * times)
    return np.stack([left, -left], axis=1).astype(np.float32).reshape(num_blocks, 960, 2)


def perform(num_past: int, num_missing: int, num_back: int, bar_frames: int = 96_000) -> tuple[np.ndarray, list[bytes]]:
    """A stream whose engine is away for a while: samples [T, 2] and packets."""
    encoder = OpusEncoder()
    chunks: list[Chunk] = []
    engine = [
        make_chunk(block * 960, encoder.encode(pcm), pcm)
        for block, pcm in enumerate(tone(0, num_past + num_missing + num_back))
    ]
    chunks += engine[:num_past]
    filler = Filler([chunk.pcm for chunk in chunks[-PAST_BLOCKS:]], bar_frames, 160_000)
    for block in range(num_past, num_past + num_missing):
        chunks.append(filler.next_chunk(block, None))
    for chunk in engine[num_past + num_missing :]:
        is_filled = not filler.is_done
        chunks.append(filler.next_chunk(chunk.frame // 960, chunk) if is_filled else chunk)
    assert filler.is_done
    return np.concatenate([chunk.pcm for chunk in chunks]), [chunk.packet for chunk in chunks]


def decode(packets: list[bytes]) -> np.ndarray:
    codec = av.CodecContext.create("libopus", "r")
    codec.sample_rate, codec.layout = 48_000, "stereo"
    frames = [frame.to_ndarray().reshape(-1, 2) for packet in packets for frame in codec.decode(av.Packet(packet))]
    return np.concatenate(frames) / 32_768


@pytest.mark.parametrize("num_past", [3, 40, 300])
@pytest.mark.parametrize("num_missing", [1, 7, 260])
def test_pcm_has_neither_click_nor_gap(num_past: int, num_missing: int) -> None:
    pcm, _ = perform(num_past, num_missing, 20)
    assert np.abs(np.diff(pcm, axis=0)).max() < 2.2 * STEEPEST
    levels = np.sqrt(np.mean(pcm.reshape(-1, 960, 2) ** 2, axis=1))
    assert levels.min() > 0.05


def test_opus_has_neither_click_nor_gap() -> None:
    _, packets = perform(150, 120, 30)
    sound = decode(packets)[960:]
    assert np.abs(np.diff(sound, axis=0)).max() < 2.5 * STEEPEST
    assert np.sqrt(np.mean(sound[: len(sound) // 960 * 960].reshape(-1, 960, 2) ** 2, axis=1)).min() > 0.05


def test_engine_samples_are_untouched_one_block_after_its_return() -> None:
    pcm, _ = perform(150, 30, 10)
    assert np.array_equal(pcm[181 * 960 :], tone(181, 9).reshape(-1, 2))


def test_without_a_past_there_is_silence() -> None:
    filler = Filler([], 96_000, 160_000)
    assert not filler.next_chunk(0, None).pcm.any()


def test_a_station_that_was_silent_stays_silent() -> None:
    past = [*tone(0, 40), np.zeros((960, 2), np.float32)]
    filler = Filler(past, 19_200, 160_000)
    assert not any(filler.next_chunk(block, None).pcm.any() for block in range(41, 100))


def test_loop_is_a_bar_and_meets_its_own_beginning() -> None:
    past = tone(0, 200).reshape(-1, 2)
    loop = make_loop(past, 90_000)
    assert len(loop) == 90_000
    seam = np.concatenate([loop[-500:], loop[:500]])
    assert np.abs(np.diff(seam, axis=0)).max() < 1.1 * STEEPEST
    assert len(make_loop(past, 400_000)) == 100_000
