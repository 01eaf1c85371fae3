"""Soundfonts sound as their standard has them, in the place of instruments or as patches; broken ones are named."""

from __future__ import annotations

import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.errors import PatchError, SoundFontError
from engine.synth.patching.patch import PATCH, plain_patch, set_shares
from engine.synth.patching.patch_file import PatchFile
from engine.synth.patching.programs import PROGRAMS
from engine.synth.patching.recordings import Recordings
from engine.synth.patching.tables import SHIPPED, PatchTables, load_tables, shipped_tables
from engine.synth.soundfonts.bank import MAX_BYTES, Bank
from engine.synth.sources.sampler import KIND
from engine.synth.synth import Synth
from moods.intent import LAYERS
from streaming.config import Config
from streaming.errors import BadConfig
from tests.synth.music import arrangement, intent
from tests.synth.soundfonts import (
    KEYS,
    MOVING,
    ROOT_KEY,
    SAMPLE_MODES,
    VELOCITIES,
    Region,
    chunk,
    soundfont,
    span,
    tone,
)

LOOPED = {SAMPLE_MODES: 1}
A4 = Region(tone(4800, 44), (2400, 4800), generators=LOOPED)
"""440 Hz, whose loop is 22 cycles."""
CUTOFF, PAN, DECAY, SUSTAIN, RELEASE, EXCLUSIVE = 8, 17, 36, 37, 38, 57
VELOCITY_TO_CUTOFF = (0x0102, CUTOFF, -6000, 0, 0)
"""Linear: so many cents lower, the softer the note."""
DRUMS, LEAD = LAYERS.index("drums"), LAYERS.index("lead")

Notes = list[tuple[float, float, int, int]]
Samples = npt.NDArray[np.float64]


def tables_of(folder: Path, content: bytes, **fields: float) -> PatchTables:
    """Every layer and drum is a patch that plays the first preset."""
    (folder / "mine.sf2").write_bytes(content)
    recordings, patch = Recordings(), plain_patch(KIND)
    for field, value in fields.items():
        patch[field] = value
    patch["first_region"], patch["num_regions"] = recordings.place(recordings.open(folder / "mine.sf2"), 0, 0)
    set_shares(patch)
    arrays, patches = recordings.arrays()._asdict(), np.array([patch], PATCH)
    return replace(shipped_tables(), names=("mine",), patches=patches, **arrays).alone("mine")


def stem_of(tables: PatchTables, notes: Notes, seconds: float, layer: int = LEAD) -> Samples:
    """Notes of (seconds, length in seconds, pitch, velocity): [2, T] before the master."""
    synth = Synth(1, tables=tables)
    synth.open(0, 1)
    rows = [(round(at * SAMPLE_RATE), int(length * SAMPLE_RATE), layer, pitch, hit) for at, length, pitch, hit in notes]
    synth.play(0, as_sounds(rows))
    steady = intent("chiptune", energy=0.5, brightness=0.5)
    _, stems = synth.render_stems([0], lambda slot, frame: steady, int(seconds * SAMPLE_RATE))
    return stems[0, layer].astype(np.float64)


def heard(folder: Path, *regions: Region, notes: Notes, seconds: float = 0.3, **fields: float) -> Samples:
    return stem_of(tables_of(folder, soundfont({(0, 0): regions}), **fields), notes, seconds)


def hz_of(row: Samples) -> float:
    """Of a sine, by the turn of its phase between two halves."""
    size = len(row) // 2
    window = np.hanning(size) * np.exp(-2j * np.pi * (guess := _strongest(row)) / SAMPLE_RATE * np.arange(size))
    turn = np.angle((row[size : 2 * size] * window).sum() / (row[:size] * window).sum())
    # What is left beyond whole turns of the guess.
    expected = 2 * np.pi * guess * size / SAMPLE_RATE
    return guess + ((turn - expected + np.pi) % (2 * np.pi) - np.pi) * SAMPLE_RATE / (2 * np.pi * size)


def _strongest(row: Samples) -> float:
    return float(np.abs(np.fft.rfft(row * np.hanning(len(row)), 2**18)).argmax() * SAMPLE_RATE / 2**18)


def db(row: Samples) -> float:
    return float(10 * np.log10(np.mean(row**2) + 1e-20))


@pytest.mark.parametrize(
    ("pitch", "fields", "key"),
    [(69, {}, 69), (58, {}, 58), (81, {}, 81), (57, {"transpose": 12}, 69), (40, {"key": 69}, 69)],
)
def test_pitch_is_that_of_the_key(tmp_path: Path, pitch: int, fields: dict[str, float], key: int) -> None:
    sound = heard(tmp_path, A4, notes=[(0, 0.5, pitch, 127)], **fields)
    assert abs(1200 * np.log2(hz_of(sound[0, 4800:]) / (440 * 2 ** ((key - 69) / 12)))) < 0.01


def test_tuning_and_rate_of_a_recording_count(tmp_path: Path) -> None:
    """At 24,000 frames a second and a key of 60 it is an octave lower and nine semitones higher; 52 is fine tuning."""
    region = Region(A4.frames, A4.loop, 60, SAMPLE_RATE // 2, {**LOOPED, 52: 50})
    sound = heard(tmp_path, region, notes=[(0, 0.5, 69, 127)])
    assert hz_of(sound[0, 4800:]) == pytest.approx(220 * 2 ** (9.5 / 12), rel=1e-5)


def test_a_loop_comes_round_without_a_click(tmp_path: Path) -> None:
    row = heard(tmp_path, A4, notes=[(0, 1, 69, 127)], seconds=0.4)[0, 4800 : 4800 + 14_400]
    size = np.abs(np.fft.rfft(row * np.blackman(len(row))))
    tone_at = size.argmax()
    assert 20 * np.log10(np.delete(size, range(tone_at - 8, tone_at + 9)).max() / size.max()) < -90


def test_a_recording_without_a_loop_ends(tmp_path: Path) -> None:
    sound = heard(tmp_path, Region(A4.frames), notes=[(0, 0.4, 69, 127)])
    assert db(sound[0, 2400:4700]) > -20
    assert np.abs(sound[:, 4864:]).max() < 1e-6


def test_keys_and_velocities_choose_the_region(tmp_path: Path) -> None:
    low, high = Region(tone(4800, 44, 0.2), (0, 4800), generators={**LOOPED, KEYS: span(0, 68)}), A4
    high = Region(A4.frames, A4.loop, generators={**LOOPED, KEYS: span(69, 127), VELOCITIES: span(64, 127)})
    softer = Region(tone(4800, 88), (0, 4800), generators={**LOOPED, KEYS: span(69, 127), VELOCITIES: span(0, 63)})
    regions = (low, high, softer)
    loud = heard(tmp_path, *regions, notes=[(0, 0.5, 69, 64)])[0, 4800:]
    soft = heard(tmp_path, *regions, notes=[(0, 0.5, 69, 63)])[0, 4800:]
    below = heard(tmp_path, *regions, notes=[(0, 0.5, 68, 64)])[0, 4800:]
    assert hz_of(loud) == pytest.approx(440, rel=1e-4) and hz_of(soft) == pytest.approx(880, rel=1e-4)
    assert db(below) == pytest.approx(db(loud) + 20 * np.log10(0.2 / 0.5), abs=0.2)


def test_a_note_falls_by_twice_its_velocity_in_decibels(tmp_path: Path) -> None:
    loud, soft = (db(heard(tmp_path, A4, notes=[(0, 0.5, 69, hit)])[0, 4800:]) for hit in (127, 40))
    assert loud - soft == pytest.approx(40 * np.log10(127 / 40), abs=0.02)


def test_an_envelope_takes_its_time(tmp_path: Path) -> None:
    """Down 96 dB in 2 s, to no more than 12; after the key another 96 in 0.5 s."""
    region = Region(A4.frames, A4.loop, generators={**LOOPED, DECAY: 1200, SUSTAIN: 120, RELEASE: -1200})
    row = heard(tmp_path, region, notes=[(0, 0.5, 69, 127)], seconds=0.8)[0]
    cycle = SAMPLE_RATE // 44
    level = [db(row[int(at * SAMPLE_RATE) : int(at * SAMPLE_RATE) + cycle]) for at in (0.05, 0.15, 0.4, 0.55, 0.65)]
    assert level[1] - level[0] == pytest.approx(-4.8, abs=0.2)
    assert level[2] - level[0] == pytest.approx(-9.6, abs=1.0)
    assert level[4] - level[3] == pytest.approx(-19.2, abs=0.6)


def test_a_soft_note_is_darker_where_the_bank_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(-8000, 8000, 24_000).astype(np.int16)
    region = Region(noise, (0, 24_000), generators=LOOPED, modulators=[VELOCITY_TO_CUTOFF])
    bright, dark = (heard(tmp_path, region, notes=[(0, 0.5, 69, hit)])[0, 4800:] for hit in (127, 32))

    def share_above_8_khz(row: Samples) -> float:
        power = np.abs(np.fft.rfft(row)) ** 2
        return float(power[len(power) // 3 :].sum() / power.sum())

    assert share_above_8_khz(bright) > 0.5 and share_above_8_khz(dark) < 0.05


def test_a_pair_of_channels_keeps_its_sides(tmp_path: Path) -> None:
    left = Region(A4.frames, A4.loop, generators={**LOOPED, PAN: -500})
    right = Region(tone(4800, 88), (0, 4800), generators={**LOOPED, PAN: 500})
    sound = heard(tmp_path, left, right, notes=[(0, 0.5, 60, 127)])[:, 4800:]
    assert hz_of(sound[1]) == pytest.approx(2 * hz_of(sound[0]), rel=1e-4)


def test_a_drum_of_a_class_ends_another(tmp_path: Path) -> None:
    frames = tone(48_000, 4800)
    kit = {42: {}, 46: {EXCLUSIVE: 1}, 44: {EXCLUSIVE: 1}}
    regions = [Region(frames, generators={KEYS: span(key, key), ROOT_KEY: key, **own}) for key, own in kit.items()]
    (tmp_path / "kit.sf2").write_bytes(soundfont({(128, 0): regions}))
    tables = load_tables(SHIPPED, soundfont=tmp_path / "kit.sf2")

    def level_after(second: int) -> float:
        row = stem_of(tables, [(0, 0.1, 46, 127), (0.2, 0.1, second, 1)], 0.5, DRUMS)[0]
        return db(row[int(0.3 * SAMPLE_RATE) :]) - db(row[: int(0.2 * SAMPLE_RATE)])

    assert level_after(42) > -6 and level_after(44) < -30


def test_blocks_of_any_size_and_a_snapshot_give_the_same_samples(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, soundfont({(0, 0): MOVING}))
    num_frames = 30_000
    sounds = arrangement(1.0)

    def of(slot: int, frame: int) -> object:
        return intent("jazz", energy=0.6)

    whole, cut = Synth(1, tables=tables), Synth(2, tables=tables)
    whole.open(0, 5)
    whole.play(0, sounds)
    cut.open(1, 5)
    cut.play(1, sounds)
    expected = whole.render([0], of, num_frames)[0]
    parts, rng = [], np.random.default_rng(3)
    while (frame := cut.frame(1)) < num_frames:
        parts.append(cut.render([1], of, min(int(rng.integers(1, 2500)), num_frames - frame))[0])
        if len(parts) % 5 == 0:
            snapshot = pickle.loads(pickle.dumps(cut.snapshot(1)))
            cut.close(1)
            cut.restore(1, snapshot)
    assert np.abs(expected).max() > 0.05
    assert np.array_equal(np.concatenate(parts, axis=1), expected)


def test_compressed_recordings_sound_as_the_others(tmp_path: Path) -> None:
    plain, packed = (stem_of(tables_of(tmp_path, file), [(0, 0.5, 69, 127)], 0.2)[0] for file in (GOOD, PACKED))
    assert db(packed - plain) < db(plain) - 20


def test_the_band_plays_a_soundfont(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    programs = sorted(set(PROGRAMS.values()) - {0})
    bank = {(0, program): [A4] for program in programs} | {(128, 0): [A4], (128, 48): [A4]}
    (tmp_path / "gm.sf2").write_bytes(soundfont(bank))
    ours, tables = shipped_tables(), load_tables(SHIPPED, soundfont=tmp_path / "gm.sf2")
    for name in ours.names:
        assert (tables.kind(name) == KIND.name) == (PROGRAMS.get(name, 0) != 0), name
    assert "has no program 0;" in caplog.text
    assert all(tables.kind(tables.names[index]) == KIND.name for index in np.unique(tables.kits[tables.kits >= 0]))
    assert (tables.kits >= 0).tolist() == (ours.kits >= 0).tolist()
    row = tables.kits[list(PatchFile(SHIPPED / "kits.toml").tables).index("cinema")]
    cinema = tables.patches[row[row >= 0]]
    assert set(cinema["program"]) == {48} and 59 in cinema["key"] and 49 not in cinema["key"]
    sound = stem_of(tables, [(0, 0.5, 60, 100)], 0.3)
    assert np.abs(sound).max() > 0.01


def test_a_patch_plays_a_preset_of_a_file_beside_its_own(tmp_path: Path) -> None:
    (tmp_path / "bank.sf2").write_bytes(soundfont({(0, 0): [Region(A4.frames)], (0, 40): [A4]}))
    patch = 'kind = "sampler"\nsoundfont = "bank.sf2"\nprogram = 40'
    (tmp_path / "mine.toml").write_text(f"[mine]\n{patch}\n[shorter]\n{patch}\nrelease_s = 0.01\n")
    tables = load_tables(SHIPPED, tmp_path)
    assert db(stem_of(tables.alone("mine"), [(0, 0.5, 69, 127)], 0.3)[0, 9600:]) > -20
    assert not tables.samples.flags.owndata, "it is where it was"


def with_size(file: bytes, name: bytes, size: int) -> bytes:
    at = file.index(name) + 4
    return file[:at] + struct.pack("<I", size) + file[at + 4 :]


def with_end(file: bytes, end: int) -> bytes:
    """The first sample's."""
    at = file.index(b"tone 0") + 24
    return file[:at] + struct.pack("<I", end) + file[at + 4 :]


GOOD = soundfont({(0, 0): [A4]})
PACKED = soundfont({(0, 0): [A4]}, is_vorbis=True)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "begins with no 'RIFF'"),
        (b"RIFF\x04\0\0\0WAVE", "begins with no 'RIFF' of type 'sfbk'"),
        (GOOD[:-100], "cut off or damaged"),
        (GOOD[:200], "cut off or damaged"),
        (with_size(GOOD, b"shdr", 2**31), "'shdr' is 2147483648 bytes long"),
        (with_size(GOOD, b"smpl", 9000), "cut off or damaged"),
        (with_size(GOOD, b"shdr", 91), "'shdr' is 91 bytes long; allowed are multiples of 46"),
        (chunk("RIFF", b"sfbk" + chunk("LIST", b"INFO")), "it has no chunk 'phdr'"),
        (soundfont({}), "it has no preset"),
        (soundfont({(0, 0): []}), "preset 0:0 has no zone that sounds"),
        (soundfont({(0, 0): [Region(A4.frames, (10, 9000), generators=LOOPED)]}), "a loop of 10 … 9000"),
        (soundfont({(0, 0): [Region(A4.frames, (10, 10), generators=LOOPED)]}), "a loop of 10 … 10"),
        (soundfont({(0, 0): [Region(A4.frames, generators={1: 200})]}), "frames 0 … 5000 of its sample 'tone 0'"),
        (soundfont({(0, 0): [Region(A4.frames, rate=0)]}), "0 frames a second"),
        (with_end(GOOD, 9000), "its sample 'tone 0' is frames 0 … 9000 of the 4846 that there are"),
        (with_end(PACKED, 2**31), "its sample 'tone 0' is bytes 0 … 2147483648 of the"),
        (PACKED.replace(b"OggS", b"Oggs"), "is no Vorbis stream"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    file = tmp_path / "broken.sf2"
    file.write_bytes(content)
    with pytest.raises(SoundFontError) as caught:
        recordings = Recordings()
        recordings.place(recordings.open(file), 0, 0)
        recordings.arrays()
    assert text in str(caught.value) and "broken.sf2" in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.sf2"
    with file.open("wb") as content:
        content.truncate(MAX_BYTES + 2**20)
    with pytest.raises(SoundFontError, match="it has 1025 MiB; allowed are 1024"):
        Bank(file)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("", "soundfont is None; allowed is the name of a file"),
        ('soundfont = "none.sf2"', "none.sf2: it cannot be read: No such file"),
        ('soundfont = "gm.sf2"\nprogram = 40', "bank:program is 0:40; gm.sf2 has 0:0"),
        ('soundfont = "gm.sf2"\nprogram = 0.5', "program is 0.5; allowed is a whole number"),
    ],
)
def test_a_patch_that_has_nothing_to_play_is_named(tmp_path: Path, fields: str, text: str) -> None:
    (tmp_path / "gm.sf2").write_bytes(GOOD)
    (tmp_path / "mine.toml").write_text(f'[mine]\nkind = "sampler"\n{fields}\n')
    with pytest.raises(PatchError) as caught:
        load_tables(SHIPPED, tmp_path)
    assert text in str(caught.value) and "[mine]" in str(caught.value)


def test_a_setting_that_names_no_soundfont_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.sf2").write_bytes(GOOD[:200])
    for name, text in {"none.sf2": "cannot be read", "bad.sf2": "cut off or damaged"}.items():
        with pytest.raises(BadConfig, match=text) as caught:
            Config(soundfont=str(tmp_path / name))
        assert caught.value.members["field"] == "soundfont"
    (tmp_path / "good.sf2").write_bytes(GOOD)
    assert Config(soundfont=str(tmp_path / "good.sf2")).soundfont
