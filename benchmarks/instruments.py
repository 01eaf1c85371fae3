"""Would one name our instruments? And would one, hearing the same notes on the bank they stand beside?

    python -m benchmarks.instruments [--only flute,harp] [--references FOLDER]

Solo passages, dry, by our patch and by the General MIDI bank (see `likeness`), at one loudness. Two listeners: a
network that was taught to tag music (`musicnn`), where the instrument is among its tags: the tag's probability, ours
as a share of the bank's; and a linear classifier that learnt all instruments from other passages on the bank: in how
many windows of three seconds it names ours, and the bank's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import symusic
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.harness import record
from benchmarks.likeness import bank
from benchmarks.likeness.bench import add_folders
from benchmarks.likeness.ears import EAR_RATE, TAGS, NoEars, tagger
from benchmarks.likeness.hearing import at_loudness
from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.patching.tables import PatchTables, shipped_tables
from engine.synth.synth import Synth
from moods.controller import Controller
from moods.intent import LAYERS
from moods.mood import Mood, style_weights

NUM_PASSAGES, PASSAGE_S = 4, 12
_HARMONY = LAYERS.index("harmony")
_SCALE = (0, 2, 4, 5, 7, 9, 11)
_BEATS_A_SECOND = 1.5

Float = npt.NDArray[np.float32]
Rows = list[tuple[int, int, int, int, int]]


@dataclass(frozen=True)
class Instrument:
    patch: str
    program: int
    """Of General MIDI, from 0."""
    middle: int
    """The pitch about which its passages lie."""
    tags: tuple[str, ...] = ()
    """Of the tagger's, any of which names it."""
    has_chords: bool = False


INSTRUMENTS = (
    Instrument("grand_piano", 0, 62, ("piano",), True),
    Instrument("harpsichord", 6, 62, ("harpsichord",), True),
    Instrument("nylon_guitar", 24, 55, ("guitar",), True),
    Instrument("steel_guitar", 25, 55, ("guitar",), True),
    Instrument("solo_violin", 40, 72, ("violin", "strings")),
    Instrument("solo_cello", 42, 50, ("cello", "strings")),
    Instrument("pizzicato", 45, 62, ("strings", "violin", "cello")),
    Instrument("harp", 46, 64, ("harp",), True),
    Instrument("string_ensemble", 48, 60, ("strings", "violin", "cello"), True),
    Instrument("choir_aah", 52, 60, ("choir", "choral", "opera"), True),
    Instrument("trumpet", 56, 67),
    Instrument("solo_horn", 60, 57),
    Instrument("oboe", 68, 72),
    Instrument("clarinet", 71, 65),
    Instrument("flute", 73, 76, ("flute",)),
)


def passage(instrument: Instrument, seed: int) -> Rows:
    """A melody in steps and small leaps, or broken chords: (frame, length, layer, pitch, velocity) in order."""
    rng = np.random.default_rng(seed)
    degree, beat, rows = 0, 0.0, Rows()
    while beat < (PASSAGE_S - 1) * _BEATS_A_SECOND:
        length = float(rng.choice((0.5, 1.0, 2.0) if seed % 2 else (1.0, 2.0, 3.0)))
        degree = int(np.clip(degree + rng.integers(-2, 3), -5, 5))
        velocity = int(rng.integers(60, 110))
        for k, step in enumerate((0, 2, 4) if instrument.has_chords else (0,)):
            octave, place = divmod(degree + step, len(_SCALE))
            start = round((beat + 0.25 * k) / _BEATS_A_SECOND * SAMPLE_RATE)
            held = round(length / _BEATS_A_SECOND * SAMPLE_RATE)
            rows.append((start, held, _HARMONY, instrument.middle + 12 * octave + _SCALE[place], velocity))
        beat += length
    return sorted(rows)


def as_midi(rows: Rows, program: int) -> symusic.Score:
    """Dry, at 960 ticks a second."""
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 120))
    solo = symusic.Track("solo", program)
    for number in (91, 93):
        solo.controls.append(symusic.ControlChange(0, number, 0))
    for start, length, _, pitch, velocity in rows:
        solo.notes.append(symusic.Note(start * 960 // SAMPLE_RATE, length * 960 // SAMPLE_RATE, pitch, velocity))
    score.tracks.append(solo)
    return score


def play_alone(tables: PatchTables, rows: Rows) -> Float:
    """A passage by tables that have one patch, before the master: [2, T]."""
    synth = Synth(1, tables=tables)
    heard = Controller(Mood("solo", "solo", 0.0, 0.5, 0.2, style_weights("lofi"))).intent(0)
    synth.open(0, 1)
    synth.play(0, as_sounds(rows))
    return synth.render_stems((0,), lambda _, __: heard, PASSAGE_S * SAMPLE_RATE)[1][0, _HARMONY]


def embed(sound: Float) -> Float:
    """The tagger's embeddings of a passage, [windows, 200]."""
    even = at_loudness(sound[:, : PASSAGE_S * SAMPLE_RATE])
    return tagger().embed(soxr.resample(even.mean(axis=0), SAMPLE_RATE, EAR_RATE).astype(np.float32))


def tagged(embeddings: Sequence[Float], tags: Sequence[str]) -> float:
    """The most probable of `tags` in each window, on average."""
    columns = [TAGS.index(tag) for tag in tags]
    return float(tagger().tags(np.concatenate(embeddings))[:, columns].max(axis=1).mean())


def named(ours: Sequence[Sequence[Float]], theirs: Sequence[Sequence[Float]]) -> tuple[list[float], list[float]]:
    """By instrument, in which share of windows each is named by who learnt `theirs` from the other passages."""
    shares = np.zeros((2, len(ours)))
    for out in range(NUM_PASSAGES):
        learnt = [np.concatenate([e for k, e in enumerate(passages) if k != out]) for passages in theirs]
        points, names = np.concatenate(learnt), np.repeat(np.arange(len(learnt)), [len(each) for each in learnt])
        middle, scale = points.mean(axis=0), points.std(axis=0) + 1e-6
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit((points - middle) / scale, names)
        for row, players in enumerate((ours, theirs)):
            for number, passages in enumerate(players):
                heard = model.predict((passages[out] - middle) / scale)
                shares[row, number] += (heard == number).mean() / NUM_PASSAGES
    return shares[0].round(3).tolist(), shares[1].round(3).tolist()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instruments", description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="patches with commas between, and nothing recorded; default: all")
    add_folders(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console, tables = Console(stderr=True, width=110), shipped_tables()
    chosen = [each for each in INSTRUMENTS if not options.only or each.patch in options.only.split(",")]
    ours, theirs = list[list[Float]](), list[list[Float]]()
    try:
        for each in track(chosen, "passages", console=console):
            passages = [passage(each, seed) for seed in range(NUM_PASSAGES)]
            alone = tables.alone(each.patch)
            ours.append([embed(play_alone(alone, rows)) for rows in passages])
            theirs.append([embed(bank.play(as_midi(rows, each.program), options.references)) for rows in passages])
    except (NoEars, bank.NoBank) as error:
        sys.exit(f"instruments: {error}")
    names = named(ours, theirs) if len(chosen) > 1 else ([1.0], [1.0])
    found: dict[str, Any] = {}
    table = Table(title="solo passages: the tag's probability; named among all, by windows", title_justify="left")
    for column in ("instrument", "tag, ours", "bank", "ours / bank", "named, ours", "bank"):
        table.add_column(column, justify="left" if column == "instrument" else "right")
    for number, each in enumerate(chosen):
        found[each.patch] = {"named": names[0][number], "named_bank": names[1][number]}
        told = ["", "", ""]
        if each.tags:
            tag, tag_bank = tagged(ours[number], each.tags), tagged(theirs[number], each.tags)
            figures = {"tag": tag, "tag_bank": tag_bank, "ratio": tag / tag_bank}
            found[each.patch] |= {name: round(value, 3) for name, value in figures.items()}
            told = [f"{tag:.2f}", f"{tag_bank:.2f}", f"{tag / tag_bank:.2f}"]
        table.add_row(each.patch, *told, f"{names[0][number]:.0%}", f"{names[1][number]:.0%}")
    console.print(table)
    ratios = [figures["ratio"] for figures in found.values() if "ratio" in figures]
    summary = {"at_least_0.8": sum(ratio >= 0.8 for ratio in ratios), "of": len(ratios)}
    record("instruments", summary | {"instruments": found}, is_kept=not options.only)


if __name__ == "__main__":
    main()
