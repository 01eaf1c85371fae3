"""The drum layer: grooves, ghost notes, fills and crashes. Writes into the Score it is given; no state of its own."""

from __future__ import annotations

from engine.score.piece import DRUM_PITCHES
from engine.training.arranger.idioms import Groove, Idiom
from engine.training.arranger.plan import DRUMS, BarPlan
from engine.training.arranger.rhythm import STEPS_PER_BAR, accent, busyness, hits, step_tick, velocity
from engine.training.arranger.score import Score

_PITCHES = {name: pitch for pitch, name in DRUM_PITCHES.items()}
_TIME_KEEPERS = {"closed hat", "pedal hat", "open hat", "ride", "shaker", "tambourine", "ride bell"}
_FILL_BEGINS = STEPS_PER_BAR // 2
_CRASH_ENERGY, _FILL_ENERGY = 0.45, 0.3


def play_drums(score: Score, bar: BarPlan) -> None:
    """Write one bar of drums; a fill leads out of a section and a crash into one."""
    idiom, label, rng = bar.idioms[DRUMS], bar.label, score.rng
    groove = score.choose_busy("drums", bar, idiom.grooves, label.energy, lambda groove: busyness(*groove.values()))
    fill: Groove | None = None
    if idiom.fills and label.energy > _FILL_ENERGY:
        ends_phrase = label.bar_in_section % 4 == 3
        if bar.closes_section or (ends_phrase and rng.random() < 0.35):
            fill = rng.choice(idiom.fills)
    last_step = _FILL_BEGINS if fill and bar.closes_section else STEPS_PER_BAR
    for name, row in groove.items():
        _play_row(score, bar, idiom, name, row, 0, last_step)
    for name, row in (fill or {}).items():
        _play_row(score, bar, idiom, name, row, _FILL_BEGINS, STEPS_PER_BAR)
    begins = label.bar_in_section == 0 and label.section in ("A", "B")
    if idiom.crash and begins and label.energy > _CRASH_ENERGY:
        score.add(bar.index, 0, 6, DRUMS, _PITCHES["crash"], velocity(rng, label.energy, 0.8))


def _play_row(score: Score, bar: BarPlan, idiom: Idiom, name: str, row: str, first_step: int, last_step: int) -> None:
    label, rng = bar.label, score.rng
    activity = label.energy if name not in _TIME_KEEPERS else 0.6 * label.density + 0.4 * label.energy
    for step, level in hits(row, bar.index, activity):
        if not first_step <= step < last_step or (level >= 0.5 and rng.random() < 0.15):
            continue
        late = idiom.late_snare_ticks if name in ("snare", "clap", "rim") and step % 4 == 0 else 0
        # A hit that only busy bars have is a ghost: the higher its level, the softer.
        weight = 0.6 * accent(step) + 0.6 - 1.8 * level
        score.add(
            bar.index, step_tick(step, idiom.grid) + late, 6, DRUMS, _PITCHES[name], velocity(rng, label.energy, weight)
        )
