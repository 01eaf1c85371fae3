"""The judge is fair: what is the same is near, what is moved is farther, and both players play the same notes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks import instruments
from benchmarks.likeness import hearing, references
from benchmarks.likeness.bench import FAMILIES
from benchmarks.likeness.checkpoint import read_checkpoint
from benchmarks.likeness.distance import Cloud, cloud, compare
from benchmarks.likeness.ears import TAGS
from benchmarks.likeness.hearing import BANDS_HZ, Heard, at_loudness, loudness_lufs, third_octaves_db
from benchmarks.likeness.renditions import PROGRAMS, as_midi
from benchmarks.likeness.takes import Take
from benchmarks.mix import beyond_quartiles_db
from benchmarks.signatures import confusion
from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from moods.intent import LAYERS, STYLES


def tracks(shift: float, seed: int, count: int = 20) -> Cloud:
    rng = np.random.default_rng(seed)
    return cloud([shift + rng.normal(size=(6, 12)) + 0.3 * rng.normal(size=12) for _ in range(count)])


def test_the_nearer_cloud_is_nearer() -> None:
    for measure, found in compare(tracks(0, 1), tracks(0.2, 2), tracks(1.0, 3)).items():
        assert found.ours < found.theirs, measure
        assert found.high < 1, measure
        assert found.nearer == 1
        assert found.ratio < 1


def test_the_same_distance_is_no_difference() -> None:
    for measure, found in compare(tracks(0, 1), tracks(0.5, 2), tracks(-0.5, 3)).items():
        assert found.low < 1 < found.high, measure


def test_a_reference_is_near_itself() -> None:
    for measure, found in compare(tracks(0, 1), tracks(0, 2), tracks(1.0, 3)).items():
        assert abs(found.floor) < 0.4 * found.theirs, measure
        assert found.ours < 0.4 * found.theirs, measure


@pytest.mark.parametrize("style", STYLES)
def test_the_bank_gets_every_note_of_the_take(style: str) -> None:
    rows = [(480 * k, 4800 + 48 * k, k % len(LAYERS), 36 + k, 40 + k) for k in range(40)]
    score = as_midi(Take(style, 1, as_sounds(rows)))
    assert [track.name for track in score.tracks] == list(LAYERS)
    assert score.tracks[0].is_drum
    seconds_a_tick = 0.5 / score.ticks_per_quarter
    for layer, track in enumerate(score.tracks):
        heard = [(note.time, note.duration, note.pitch, note.velocity) for note in track.notes]
        for (start, length, of, pitch, velocity), note in zip(rows[layer :: len(LAYERS)], sorted(heard), strict=True):
            assert (of, pitch, velocity) == (layer, *note[2:])
            assert note[0] * seconds_a_tick == pytest.approx(start / SAMPLE_RATE, abs=1e-3)
            assert note[1] * seconds_a_tick == pytest.approx(length / SAMPLE_RATE, abs=1e-3)
    assert score.tracks[2].program in PROGRAMS[style][2]


def test_every_style_is_of_one_family_and_no_game_of_two_splits() -> None:
    assert sorted(style for styles in FAMILIES.values() for style in styles) == sorted(STYLES)
    seen, unseen = (
        {package for tracks in references.track_names(split).values() for package, _ in tracks}
        for split in references.SPLITS
    )
    assert not seen & unseen
    assert all(set(references.track_names(split)) == set(FAMILIES) for split in references.SPLITS)


def noise(gain: float, seed: int) -> np.ndarray:
    return (gain * np.random.default_rng(seed).normal(size=(2, 4 * SAMPLE_RATE))).astype(np.float32)


def test_however_loud_a_clip_is_it_is_heard_alike() -> None:
    quiet, loud = at_loudness(noise(0.003, 1)), at_loudness(noise(0.3, 1))
    np.testing.assert_allclose(quiet, loud, atol=1e-5)
    assert loudness_lufs(loud) == pytest.approx(-20, abs=0.01)


def test_width_and_dynamics_are_what_was_made() -> None:
    wide, middle = hearing.measure(noise(0.1, 1)), noise(0.1, 1)[:1].repeat(2, axis=0)
    assert wide["width_db"] == pytest.approx(0, abs=0.2)
    assert wide["correlation"] == pytest.approx(0, abs=0.02)
    assert wide["mono_loss_db"] == pytest.approx(3, abs=0.2)
    mono = hearing.measure(middle)
    assert mono["mono_loss_db"] == pytest.approx(0, abs=0.01)
    assert mono["spread_db"] < 1
    middle[:, : 2 * SAMPLE_RATE] *= 0.1
    assert hearing.measure(middle)["spread_db"] == pytest.approx(20, abs=1)


def test_a_band_beyond_the_middle_half_is_told_by_how_much() -> None:
    flat = [third_octaves_db(noise(0.1, seed)) for seed in range(4)]

    def clips(tilt_db: float) -> list[Heard]:
        tilt = tilt_db * (np.array(BANDS_HZ) == 1000)
        return [Heard({}, bands_db + tilt, (bands_db + tilt)[None], {}) for bands_db in flat]

    assert np.abs(beyond_quartiles_db(clips(0), clips(0))).max() < 1e-9
    off = beyond_quartiles_db(clips(0), clips(6))
    assert np.count_nonzero(off) == 1
    assert off.max() == pytest.approx(6, abs=0.5)


@pytest.mark.parametrize("instrument", instruments.INSTRUMENTS, ids=lambda instrument: instrument.patch)
def test_a_solo_is_of_the_same_notes_for_both_players(instrument: instruments.Instrument) -> None:
    assert set(instrument.tags) <= set(TAGS)
    rows = instruments.passage(instrument, 3)
    (track,) = instruments.as_midi(rows, instrument.program).tracks
    assert track.program == instrument.program
    heard = sorted((note.time * 50, note.pitch, note.velocity) for note in track.notes)
    written = sorted((start // 50 * 50, pitch, velocity) for start, _, _, pitch, velocity in rows)
    assert heard == written
    assert rows[-1][0] < instruments.PASSAGE_S * SAMPLE_RATE
    assert max(pitch for *_, pitch, _ in rows) - min(pitch for *_, pitch, _ in rows) <= 36


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block of a sorted table, every key sharing what it can with the one before."""
    body, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return body + struct.pack("<II", 0, 1)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    first, second = np.arange(300, dtype="<f4").reshape(100, 3), np.array(7.5, "<f4")
    dimension = lambda size: b"\x12" + varint(len(varint(size)) + 1) + b"\x08" + varint(size)  # noqa: E731
    shape = dimension(100) + dimension(3)
    entries = [
        (b"", b"\x08\x01"),
        (b"dense/bias", b"\x08\x01" + b"\x12\x00" + b"\x20" + varint(first.nbytes) + b"\x28\x04"),
        (b"dense/kernel", b"\x08\x01" + b"\x12" + varint(len(shape)) + shape + b"\x28" + varint(first.nbytes)),
    ]
    table = block(entries)
    handle = varint(0) + varint(len(table))
    index = block([(b"z", handle)])
    at = len(table) + 5
    footer = (varint(0) + varint(0) + varint(at) + varint(len(index))).ljust(40, b"\0")
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    (tmp_path / ".index").write_bytes(table + b"\0" * 5 + index + b"\0" * 5 + footer + magic)
    (tmp_path / ".data-00000-of-00001").write_bytes(first.tobytes() + second.tobytes())
    found = read_checkpoint(tmp_path)
    np.testing.assert_array_equal(found["dense/kernel"], first)
    np.testing.assert_array_equal(found["dense/bias"], second)


def test_styles_that_differ_are_told_apart_and_others_are_not() -> None:
    rng = np.random.default_rng(1)

    def takes(shift: float) -> list[np.ndarray]:
        return [shift + rng.normal(size=(5, 8)).astype(np.float32) for _ in range(6)]

    shares = confusion({"lofi": takes(0), "jazz": takes(5), "house": takes(5)})
    assert shares[0, 0] > 0.95
    assert shares[1, 1] + shares[2, 2] < 1.5
    np.testing.assert_allclose(shares.sum(axis=1), 1)
