"""The drum layer: grooves played by a hand or a machine, fills, hits and crashes. Writes into the Score it is given.

Grooves are the idiom's rows; how a drummer plays them (timing, accents, ghost notes) and the fills come from
grooves.json, which `engine.training.grooves` makes from the Groove MIDI Dataset. Remembers that table; any thread.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from engine.notes import DRUM_PITCHES, TICKS_PER_BEAT
from engine.training.arranger.cues import cue_at, hit_ticks
from engine.training.arranger.idioms import Groove, Idiom
from engine.training.arranger.plan import DRUMS, BarPlan
from engine.training.arranger.rhythm import STEPS_PER_BAR, accent, busyness, hits, step_tick, velocity
from engine.training.arranger.score import Score
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

_PITCHES = {name: pitch for pitch, name in DRUM_PITCHES.items()}
_BACKBONE = {"kick", "snare", "rim", "clap", "low tom"}
_TIME_KEEPERS = {"closed hat", "pedal hat", "open hat", "ride", "shaker", "tambourine", "ride bell"}
_LENGTH = TICKS_PER_BEAT // 4
_CRASH_ENERGY, _GHOST_ENERGY = 0.45, 0.25
_VARIED = (0.06, 0.12, 0.06, 0.24)
"""Chance that a bar of a phrase differs from the section's groove by a stroke."""
_UNSTEADY_STROKES, _MOST_OFFSET = 0.08, 3
_EXTRA_KICKS = (3, 7, 10, 11, 14)
_KEPT_SPREAD = 0.45
"""Share of the spread between strokes of many drummers that one drummer's habit has."""

Stroke = tuple[int, str, float]
"""(sixteenth of the bar, sound, level: the activity from which on it sounds)"""


@cache
def _table() -> dict[str, Any]:
    return json.loads((files("engine.training.arranger") / "grooves.json").read_text(encoding="utf-8"))


@cache
def fills_of(kind: str) -> tuple[tuple[tuple[int, str, int], ...], ...]:
    """Bars of (tick, sound, velocity), the thin ones first."""
    bars = []
    for text in _table()[kind]["fills"]:
        strokes = [tuple(map(int, stroke.split())) for stroke in text.split(",")]
        bars.append(tuple((tick, DRUM_PITCHES[pitch], loudness) for tick, pitch, loudness in strokes))
    return tuple(bars)


def feel_of(kind: str) -> dict[str, list[list[float]]]:
    """By voice and sixteenth of the bar: mean and spread of the offset in ticks, velocity above the voice's mean."""
    return _table()[kind]["feel"]


def play_drums(score: Score, bar: BarPlan) -> None:
    """Write one bar: the section's groove, a fill where the cues say so, one stroke on a hit and none in a cut."""
    idiom, label, rng = bar.idioms[DRUMS], bar.label, score.rng
    strokes = _strokes(score, bar, _groove(score, bar))
    if rng.random() < _VARIED[label.bar_in_section % BARS_PER_PHRASE]:
        strokes = _varied(score, bar, strokes)
    for stroke in strokes:
        _play_stroke(score, bar, stroke)
    if "fill" in label.cues:
        _play_fill(score, bar)
    for tick in hit_ticks(bar):
        for name in idiom.hit:
            score.add(bar.index, tick, _LENGTH, DRUMS, _PITCHES[name], velocity(rng, label.energy, 2.0))
    begins = label.bar_in_section == 0 and label.section in ("A", "B") and label.cues[0] == "none"
    if idiom.crash and begins and label.energy > _CRASH_ENERGY:
        score.add(bar.index, 0, _LENGTH, DRUMS, _PITCHES["crash"], velocity(rng, label.energy, 0.8))


def _groove(score: Score, bar: BarPlan) -> Groove:
    """The section's groove; B often keeps the backbone of the groove heard first under another time-keeper."""
    idiom, label = bar.idioms[DRUMS], bar.label
    own = score.choose_busy("drums", bar, idiom.grooves, label.energy, lambda groove: busyness(*groove.values()))
    first = score.choose(("first groove", idiom.name), (own,))
    if label.section != "B" or own is first or not score.choose(("related", idiom.name), (True, True, False)):
        return own
    backbone = {name: row for name, row in first.items() if name in _BACKBONE}
    return backbone | {name: row for name, row in own.items() if name not in _BACKBONE} if backbone else own


def _strokes(score: Score, bar: BarPlan, groove: Groove) -> list[Stroke]:
    label = bar.label
    found = []
    for name, row in groove.items():
        activity = label.energy if name not in _TIME_KEEPERS else 0.6 * label.density + 0.4 * label.energy
        found += [(step, name, level) for step, level in hits(row, bar.index, activity)]
    return found


def _varied(score: Score, bar: BarPlan, strokes: list[Stroke]) -> list[Stroke]:
    """The bar with one small change: a ghost note, an open hat, another kick, or a weak stroke left out."""
    rng, idiom, energy = score.rng, bar.idioms[DRUMS], bar.label.energy
    taken = {(step, name) for step, name, _ in strokes}
    names = {name for _, name, _ in strokes}
    options: list[list[Stroke]] = []
    if "snare" in names and idiom.hand and energy > _GHOST_ENERGY:
        chances = _table()[idiom.hand]["ghosts"]
        free = [step for step in range(STEPS_PER_BAR) if step % 4 and (step, "snare") not in taken]
        options.append([*strokes, (rng.choices(free, [chances[step] + 1e-3 for step in free])[0], "snare", 0.95)])
    hats = [stroke for stroke in strokes if stroke[1] == "closed hat" and stroke[0] % 4 == 2]
    if hats:
        opened = rng.choice(hats)
        options.append([*(stroke for stroke in strokes if stroke is not opened), (opened[0], "open hat", 0.3)])
    kicks = [step for step in _EXTRA_KICKS if (step, "kick") not in taken]
    if "kick" in names and energy > _GHOST_ENERGY and kicks:
        options.append([*strokes, (rng.choice(kicks), "kick", 0.5)])
    weak = [stroke for stroke in strokes if stroke[0] % 4 and stroke[2] > 0.1]
    if weak:
        left_out = rng.choice(weak)
        options.append([stroke for stroke in strokes if stroke is not left_out])
    return rng.choice(options) if options else strokes


def _play_stroke(score: Score, bar: BarPlan, stroke: Stroke) -> None:
    idiom, (step, name, level) = bar.idioms[DRUMS], stroke
    tick = step_tick(step, idiom.grid)
    if cue_at(bar, tick) != "none":
        return
    # A stroke that only busy bars have is a ghost: the higher its level, the softer.
    weight = 0.6 - 1.8 * level
    if idiom.hand:
        weight += feel_of(idiom.hand)[learnt_voice(name)][step][2] / 22
    else:
        weight += 0.8 * accent(step)
    loudness = velocity(score.rng, bar.label.energy, weight, spread=4.0 if idiom.hand else 0.0)
    played = max(0, tick + _offset(score, bar, idiom, name, step))
    if cue_at(bar, played) != "none":  # never early into a hit or a cut
        played = tick
    score.add(bar.index, played, _LENGTH, DRUMS, _PITCHES[name], loudness)


def learnt_voice(name: str) -> str:
    """Which learnt voice a sound is played like: what one limb plays alike."""
    if name in ("kick", "snare", "ride"):
        return name
    if name in ("rim", "clap"):
        return "snare"
    if name in ("ride bell", "cowbell"):
        return "ride"
    return "hat" if name in _TIME_KEEPERS else "tom"


def _offset(score: Score, bar: BarPlan, idiom: Idiom, name: str, step: int) -> int:
    """Ticks from the grid: a habit of the section's drummer for each voice and place, and now and then a tick more.

    Nothing comes before the bar in which it belongs.
    """
    if not idiom.hand:
        return 0
    mean, spread, _ = feel_of(idiom.hand)[learnt_voice(name)][step]
    occasion = ("hand", idiom.name, bar.label.section, learnt_voice(name), step)
    habit = score.choose(occasion, (score.rng.gauss(mean, _KEPT_SPREAD * spread),))
    slip = score.rng.choice((-1, 1)) if score.rng.random() < _UNSTEADY_STROKES else 0
    late = idiom.late_snare_ticks if learnt_voice(name) == "snare" and step % 4 == 0 else 0
    offset = max(-_MOST_OFFSET, min(_MOST_OFFSET, round(habit) + slip)) + late
    return max(0, offset) if step == 0 else offset


def _play_fill(score: Score, bar: BarPlan) -> None:
    """The end of a real fill in the bar's fill beats, in the idiom's sounds, about as busy as the bar."""
    idiom, label, rng = bar.idioms[DRUMS], bar.label, score.rng
    fills = fills_of(idiom.fill_kind)
    place = max(0.0, min(1.0, rng.gauss(0.2 + 0.6 * label.energy, 0.2)))
    fill = fills[round(place * (len(fills) - 1))]
    beats = [beat for beat, cue in enumerate(label.cues) if cue == "fill"]
    loudest = max(loudness for _, _, loudness in fill)
    for index, beat in enumerate(beats):
        source = BEATS_PER_BAR - len(beats) + index
        for tick, name, loudness in fill:
            sound = idiom.kit.get(name, name)
            if tick // TICKS_PER_BEAT != source or not sound:
                continue
            within = tick % TICKS_PER_BEAT if idiom.hand else min(18, round(tick % TICKS_PER_BEAT / 6) * 6)
            weight = 1.0 - 2.2 * (1 - loudness / loudest)
            score.add(
                bar.index, beat * TICKS_PER_BEAT + within, _LENGTH, DRUMS, _PITCHES[sound],
                velocity(rng, label.energy, weight),
            )  # fmt: skip
