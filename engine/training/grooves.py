"""Makes the tables of drummers' habits. In: the Groove MIDI Dataset; out: two JSON files. Run offline:

    python -m engine.training.grooves DATA_FOLDER

reads DATA_FOLDER/groove (Gillick et al. 2019) and writes `engine/training/arranger/grooves.json`, by kind of playing
(`KINDS`):

    feel    {voice: [[offset, spread, accent] of each sixteenth of a bar]}: mean and standard deviation of the distance
            from the grid in ticks of 24 a beat (late is positive; a take's own median is taken out), and the mean
            velocity less that of the voice
    ghosts  chance that a bar has a soft snare stroke on each of its sixteenths
    fills   last bars of fills as "tick pitch velocity" parted by commas, thin ones first

Jazz is measured against swung eighths, everything else against straight sixteenths. The offsets alone, which live music
is played with, stand in `engine/score/hands.json` too.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.notes import DRUM_PITCHES, TICKS_PER_BEAT
from engine.score.timing import VOICES
from engine.training.arranger.rhythm import STEPS_PER_BAR, STRAIGHT, SWUNG_EIGHTHS, TICKS_PER_BAR, Grid
from engine.training.midi_reader import DRUM_CLASSES, UnusableFile, read_score

OUT = Path(__file__).parent / "arranger" / "grooves.json"
HANDS = Path(__file__).parents[1] / "score" / "hands.json"

KINDS = {
    "rock": "rock", "punk": "rock", "pop": "rock", "country": "rock",
    "funk": "funk", "soul": "funk", "gospel": "funk", "neworleans": "funk", "reggae": "funk",
    "hiphop": "hiphop", "jazz": "jazz", "blues": "jazz",
    "latin": "latin", "afrocuban": "latin", "afrobeat": "latin", "highlife": "latin", "middleeastern": "latin",
}  # fmt: skip
"""Kind of playing of each first word in the data set's style column."""
_GHOST_VELOCITY = 48
_FEWEST_STROKES = 12
_FILLS_EACH = 40
_VOICE_OF_PITCH = {pitch: VOICES[name] for pitch, name in DRUM_PITCHES.items()}

Strokes = npt.NDArray[np.float64]
"""[N, 3]: onset in ticks (not rounded), our pitch, velocity."""


def _read(path: Path) -> Strokes:
    raw = read_score(path.read_bytes()).notes
    rows = [
        (note["start"] * TICKS_PER_BEAT, DRUM_CLASSES[int(note["pitch"])], note["velocity"])
        for note in raw
        if int(note["pitch"]) in DRUM_CLASSES
    ]
    return np.array(rows, float).reshape(-1, 3)


def _deviation(strokes: Strokes, grid: Grid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Sixteenth of the bar and distance from it in ticks, the take's median taken out."""
    points = np.array([beat * TICKS_PER_BEAT + tick for beat in range(5) for tick in grid])[: STEPS_PER_BAR + 1]
    distance = (strokes[:, :1] % TICKS_PER_BAR) - points
    nearest = np.abs(distance).argmin(axis=1)
    deviation = distance[np.arange(len(strokes)), nearest]
    return nearest % STEPS_PER_BAR, deviation - np.median(deviation)


def _feel(takes: list[Strokes], grid: Grid) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[tuple[float, float]]]] = defaultdict(lambda: [[] for _ in range(STEPS_PER_BAR)])
    for strokes in takes:
        steps, deviations = _deviation(strokes, grid)
        for step, deviation, (_, pitch, velocity) in zip(steps, deviations, strokes, strict=True):
            if velocity >= _GHOST_VELOCITY / 2 and abs(deviation) < 2.5:  # beyond that it is another rhythm
                found[_VOICE_OF_PITCH[int(pitch)]][step].append((deviation, velocity))
    feel = {}
    for voice, steps in sorted(found.items()):
        every = np.array([stroke for step in steps for stroke in step])
        rows = []
        for step in steps:
            played = np.array(step) if len(step) >= _FEWEST_STROKES else every
            offset, spread = played[:, 0].mean(), played[:, 0].std()
            rows.append([round(float(x), 2) for x in (offset, spread, played[:, 1].mean() - every[:, 1].mean())])
        feel[voice] = rows
    return feel


def _ghosts(takes: list[Strokes], grid: Grid) -> list[float]:
    count, bars = np.zeros(STEPS_PER_BAR), 0
    for strokes in takes:
        soft = strokes[(strokes[:, 1] == 38) & (strokes[:, 2] < _GHOST_VELOCITY)]
        bars += int(strokes[-1, 0] // TICKS_PER_BAR) + 1
        if len(soft):
            count += np.bincount(_deviation(soft, grid)[0], minlength=STEPS_PER_BAR)
    return [round(float(x), 3) for x in count / max(1, bars)]


def fill_of(strokes: Strokes) -> list[tuple[int, int, int]] | None:
    """The last bar of a fill in whole ticks; None where it has no drummer's idea in its second half."""
    bar = int(strokes[-1, 0] // TICKS_PER_BAR)
    inside = strokes[strokes[:, 0] >= bar * TICKS_PER_BAR]
    if bar and inside[:, 0].max() - bar * TICKS_PER_BAR < TICKS_PER_BEAT:  # the stroke that the fill leads to
        bar, inside = bar - 1, strokes[strokes[:, 0] < bar * TICKS_PER_BAR]
    ticks = np.minimum(np.round(inside[:, 0] - bar * TICKS_PER_BAR), TICKS_PER_BAR - 1).astype(int)
    kept = {
        (int(tick), int(pitch)): int(velocity)
        for tick, (_, pitch, velocity) in zip(ticks, inside, strict=True)
        if tick >= 0 and pitch != 49 and velocity >= 25
    }
    fill = [(tick, pitch, velocity) for (tick, pitch), velocity in sorted(kept.items())]
    beats = [[stroke for stroke in fill if stroke[0] // TICKS_PER_BEAT == beat] for beat in range(4)]
    drums = {pitch for beat in beats[2:] for _, pitch, _ in beat} & {38, 45, 47, 50}
    is_idea = all(2 <= len(beat) <= 9 for beat in beats[2:]) and drums and max(map(len, beats)) <= 12
    return fill if is_idea else None


def _fills(takes: list[tuple[str, Strokes]]) -> list[str]:
    """Different fills of different drummers, the thin ones first."""
    by_drummer: dict[str, list[list[tuple[int, int, int]]]] = defaultdict(list)
    seen: set[frozenset[tuple[int, int]]] = set()
    for drummer, strokes in takes:
        fill = fill_of(strokes)
        shape = frozenset((round(tick / 6), pitch) for tick, pitch, _ in fill or () if tick >= 2 * TICKS_PER_BEAT)
        if fill and shape not in seen:
            seen.add(shape)
            by_drummer[drummer].append(fill)
    turns = [fills[turn] for turn in range(_FILLS_EACH) for fills in by_drummer.values() if turn < len(fills)]
    ordered = sorted(turns[:_FILLS_EACH], key=len)
    return [",".join(f"{tick} {pitch} {velocity}" for tick, pitch, velocity in fill) for fill in ordered]


def _offsets(table: dict[str, Any]) -> str:
    """The mean offsets alone, as JSON by kind and voice."""
    hands = {
        kind: {voice: [row[0] for row in rows] for voice, rows in of["feel"].items()} for kind, of in table.items()
    }
    return json.dumps(hands).replace('], "', '],\n"').replace('}, "', '},\n"')


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the arranger's table of drummers' habits.")
    parser.add_argument("data", type=Path, help="folder that holds groove")
    folder = parser.parse_args().data / "groove"
    beats: dict[str, list[Strokes]] = defaultdict(list)
    fills: dict[str, list[tuple[str, Strokes]]] = defaultdict(list)
    with (folder / "info.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kind = KINDS.get(row["style"].split("/")[0])
            if kind is None or row["time_signature"] != "4-4":
                continue
            try:
                strokes = _read(folder / row["midi_filename"])
            except UnusableFile:
                continue
            if len(strokes) and row["beat_type"] == "fill":
                fills[kind].append((row["drummer"], strokes))
            elif len(strokes):
                beats[kind].append(strokes)
    table = {}
    for kind in sorted(beats):
        grid = SWUNG_EIGHTHS if kind == "jazz" else STRAIGHT
        table[kind] = {
            "feel": _feel(beats[kind], grid),
            "ghosts": _ghosts(beats[kind], grid),
            "fills": _fills(fills[kind]),
        }
    OUT.write_text(json.dumps(table).replace('], "', '],\n"').replace('", "', '",\n"') + "\n", encoding="utf-8")
    HANDS.write_text(_offsets(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
