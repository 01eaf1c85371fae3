"""Every patch, kit and style to hear and to look at. In: the tables; out: a folder of wavs, pictures and figures.

A patch plays three registers at three velocities, dry, one note after another, before the master; a kit all its drums;
a style a short arrangement through everything. Offline, one thread; pictures need matplotlib. Remembers nothing.
"""

from __future__ import annotations

import json
import math
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.notes import DRUM_PITCHES, as_sounds
from engine.synth.listening.metering import MOST_CENTS, MOST_FLOOR_DB, Float, Meter, cents_off, meter, true_peak_db
from engine.synth.patching.tables import PatchTables
from engine.synth.synth import IntentOf, Synth
from moods.harmony import Key
from moods.intent import LAYERS, NO_RECALL, STYLES, Intent
from moods.mood import styles

VELOCITIES = (50, 85, 115)
REGISTERS, BASS_REGISTERS = (48, 64, 80), (28, 38, 48)
NOTE_S, SLOT_S = 1.6, 4.0
"""A note is held for the first and measured over the second: its release should be over by then."""
DRUM_SLOT_S = 2.5
STYLE_S = 12.0
BASS, HARMONY = LAYERS.index("bass"), LAYERS.index("harmony")
_PITCH_PART_S = (0.1, 1.5)


@dataclass(frozen=True)
class Audition:
    """One thing that was played."""

    name: str
    sound: Float  # [2, T]
    figures: dict[str, float]
    faults: list[str]


def audition_patches(tables: PatchTables, names: Sequence[str] = ()) -> Iterator[Audition]:
    """Every patch, or those named."""
    basses = {int(index) for index in tables.choices[:, BASS].ravel() if index >= 0}
    for index, name in enumerate(tables.names):
        if not names or name in names:
            if tables.patches["is_pitched"][index]:
                transpose = float(tables.patches["transpose"][index])
                registers = BASS_REGISTERS if index in basses else REGISTERS
                yield _audition_patch(tables.alone(name), name, registers, transpose)
            else:
                yield _audition_drum(tables.alone(name), name)


def _audition_patch(tables: PatchTables, name: str, registers: Sequence[int], transpose: float) -> Audition:
    notes = [(pitch, velocity) for pitch in registers for velocity in VELOCITIES]
    rows = [(_frames(k * SLOT_S), _frames(NOTE_S), HARMONY, *note) for k, note in enumerate(notes)]
    sound = _play_stem(tables, rows, len(notes) * SLOT_S, HARMONY)
    parts = _parts(sound, len(notes), SLOT_S)
    meters = [meter(part) for part in parts]
    first, last = (_frames(second) for second in _PITCH_PART_S)
    cents = [
        cents_off(part[:, first:last].mean(axis=0).astype(np.float64), 440 * 2 ** ((pitch + transpose - 69) / 12))
        for part, (pitch, _) in zip(parts, notes, strict=True)
    ]
    figures = _figures(meters) | {"cents": _farthest(cents)}
    faults = [
        f"{pitch}/{velocity}: {fault}"
        for found, (pitch, velocity), off in zip(meters, notes, cents, strict=True)
        for fault in found.faults() or ([f"{off:+.1f} cents"] if abs(off) > MOST_CENTS else [])
    ]
    if figures["floor_db"] > MOST_FLOOR_DB:
        faults.append(f"still at {figures['floor_db']:.0f} dB after {SLOT_S - NOTE_S:.1f} s of release")
    return Audition(name, sound, figures, faults)


def _audition_drum(tables: PatchTables, name: str) -> Audition:
    rows = [(_frames(k * DRUM_SLOT_S), _frames(0.2), 0, 36, velocity) for k, velocity in enumerate(VELOCITIES)]
    sound = _play_stem(tables, rows, len(rows) * DRUM_SLOT_S, 0)
    meters = [meter(part) for part in _parts(sound, len(rows), DRUM_SLOT_S)]
    faults = [
        f"{velocity}: {fault}" for found, velocity in zip(meters, VELOCITIES, strict=True) for fault in found.faults()
    ]
    return Audition(name, sound, _figures(meters), faults)


def _figures(meters: Sequence[Meter]) -> dict[str, float]:
    """The middle of each figure, the worst of those that can be faults, and how far velocity moves level and colour."""
    rows = {name: np.array([asdict(found)[name] for found in meters]) for name in asdict(meters[0])}
    figures = {name: _median(rows[name]) for name in ("rms_db", "centroid_hz", "attack_ms", "decay_s", "correlation")}
    figures |= {name: float(np.nanmax(rows[name])) for name in ("peak_db", "mono_loss_db", "dc_db", "floor_db")}
    by_velocity = {name: rows[name].reshape(-1, len(VELOCITIES)) for name in ("rms_db", "centroid_hz")}
    return figures | {
        "velocity_db": _median(by_velocity["rms_db"][:, -1] - by_velocity["rms_db"][:, 0]),
        "velocity_octaves": _median(np.log2(by_velocity["centroid_hz"][:, -1] / by_velocity["centroid_hz"][:, 0])),
    }


def _median(values: npt.NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def _farthest(cents: Sequence[float]) -> float:
    known = [off for off in cents if math.isfinite(off)]
    return max(known, key=abs) if known else math.nan


# --- kits and styles -------------------------------------------------------------------------------------------------


def audition_kits(tables: PatchTables, chosen: Iterable[str] = STYLES) -> Iterator[Audition]:
    """Each style's kit: all its drums softly and hard, then a bar of a beat twice."""
    hits = [(0.4 * k, pitch, velocity) for k, (pitch, velocity) in enumerate(
        (pitch, velocity) for pitch in DRUM_PITCHES for velocity in (60, 110)
    )]  # fmt: skip
    beat_at = hits[-1][0] + 1.5
    hits += [(beat_at + 0.25 * k, 42 if k % 8 != 7 else 46, 100 if k % 4 == 0 else 70) for k in range(16)]
    hits += [(beat_at + 0.5 * k, 36 if k % 2 == 0 else 38, 105) for k in range(8)]
    rows = sorted((_frames(at), _frames(0.2), 0, pitch, velocity) for at, pitch, velocity in hits)
    for style in chosen:
        sound = _play_stem(tables, rows, beat_at + 6.0, 0, style)
        found = meter(sound)
        yield Audition(style, sound, asdict(found), found.faults())


def audition_styles(tables: PatchTables, seed: int = 3, chosen: Iterable[str] = STYLES) -> Iterator[Audition]:
    """Each style's mix, by an arrangement of four chords at its tempo."""
    for style in chosen:
        bpm = _middle_bpm(style)
        synth = Synth(1, tables=tables)
        synth.open(0, seed)
        synth.play(0, as_sounds(_arrangement(style, bpm)))
        sound = synth.render([0], _always(_intent(style, bpm)), _frames(STYLE_S))[0]
        found = meter(sound)
        faults = [fault for fault in found.faults() if "clips" not in fault]
        peak_db = true_peak_db(sound)
        if peak_db > -1.0:
            faults.append(f"true peak {peak_db:.1f} dB")
        yield Audition(style, sound, asdict(found) | {"true_peak_db": peak_db}, faults)


def _middle_bpm(style: str) -> float:
    low, high = styles()[STYLES.index(style)].bpm
    return (low + high) / 2


def _always(intent: Intent) -> IntentOf:
    """The same intent at every moment."""
    return lambda slot, frame: intent


def _arrangement(style: str, bpm: float) -> list[tuple[int, int, int, int, int]]:
    """Four chords in a loop: bass, chords, texture, a lead of broken chords, and drums where the style has them."""
    beat_s = 60 / bpm
    rows = []

    def add(beat: float, beats: float, layer: int, pitch: int, velocity: int) -> None:
        rows.append((_frames(beat * beat_s), _frames(beats * beat_s), layer, pitch, velocity))

    has_drums = styles()[STYLES.index(style)].thresholds[0] <= 1
    for beat in range(int(STYLE_S / beat_s)):
        root = (0, 9, 5, 7)[beat // 4 % 4]
        third = 3 if root == 9 else 4
        if has_drums:
            add(beat, 0.5, 0, 36 if beat % 2 == 0 else 38, 100)
            add(beat, 0.2, 0, 42, 80)
            add(beat + 0.5, 0.2, 0, 42, 60)
        add(beat, 0.9, 1, 36 + root, 90 if beat % 4 == 0 else 75)
        if beat % 4 == 0:
            for step in (0, third, 7, 11 if root in (0, 5) else 10):
                add(beat, 3.8, 2, 55 + (root + step - 55 % 12) % 12, 75)
            add(beat, 3.9, 3, 67, 65)
        add(beat, 0.5 if beat % 3 else 1.0, 4, 72 + (root + (0, third, 7)[beat % 3]) % 12, 95 if beat % 4 == 0 else 80)
    return sorted(rows)


# --- playing ---------------------------------------------------------------------------------------------------------


def _frames(seconds: float) -> int:
    return int(round(seconds * SAMPLE_RATE))


def _intent(style: str, bpm: float = 100.0) -> Intent:
    weights = tuple(float(name == style) for name in STYLES)
    num_layers = len(LAYERS)
    return Intent(
        0.0, 0.5, 0.0, weights, bpm, Key(0, "major"), 0.5, 0.5, (0.0,) * num_layers, (True,) * num_layers, 1.0,
        -16.0, 0.0, 1, 1, "A", 0, None, NO_RECALL, "none", None,
    )  # fmt: skip


def _play_stem(
    tables: PatchTables, rows: list[tuple[int, int, int, int, int]], seconds: float, layer: int, style: str = STYLES[0]
) -> Float:
    """One layer before the master: [2, T]."""
    synth = Synth(1, tables=tables)
    synth.open(0, 1)
    synth.play(0, as_sounds(rows))
    heard = _intent(style)
    return synth.render_stems([0], lambda _, __: heard, _frames(seconds))[1][0, layer].copy()


def _parts(sound: Float, count: int, seconds: float) -> list[Float]:
    size = _frames(seconds)
    return [sound[:, k * size : (k + 1) * size] for k in range(count)]


# --- writing ---------------------------------------------------------------------------------------------------------


def write_wav(file: Path, sound: Float) -> None:
    """16 bit, full scale at 1."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(CHANNELS)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(np.clip(np.rint(sound.T * 32768), -32768, 32767).astype("<i2").tobytes())


def write(folder: Path, auditions: Iterable[Audition]) -> dict[str, list[str]]:
    """A wav and a spectrogram each; `figures.json`, `figures.md`, `sheet.png` for all. Returns the faults, by name."""
    from engine.synth.listening.pictures import Spectrogram, draw_sheet, draw_spectrogram

    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    pictures: list[Spectrogram] = []
    for audition in auditions:
        write_wav(folder / f"{audition.name}.wav", audition.sound)
        pictures.append(draw_spectrogram(folder / f"{audition.name}.png", audition.name, audition.sound))
        rows.append({"name": audition.name, **_rounded(audition.figures), "faults": audition.faults})
    draw_sheet(folder / "sheet.png", pictures)
    (folder / "figures.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "figures.md").write_text(_table(rows), encoding="utf-8")
    return {row["name"]: row["faults"] for row in rows if row["faults"]}


def _rounded(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: float(f"{value:.4g}") if math.isfinite(value) else None for name, value in figures.items()}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in ("name", "faults")))
    lines = [f"| {' | '.join(['name', *columns, 'faults'])} |", "|" + "---|" * (len(columns) + 2)]
    for row in rows:
        values = ["" if row.get(name) is None else f"{row[name]:g}" for name in columns]
        lines.append(f"| {' | '.join([row['name'], *values, '; '.join(row['faults'])])} |")
    return "\n".join(lines) + "\n"
