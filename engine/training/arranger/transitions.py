"""Fills, hits and cuts: where they are, and what every layer does there. In: a plan, then its Score; out: cue labels of
the bars, then changed notes. Remembers nothing; any thread.

A hit is struck by all who play on the first tick of its beat, led up to by a fill in the beat before, and often
followed by a cut, in which nothing begins until the next bar.
"""

from __future__ import annotations

import random

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.comping import CENTRE
from engine.training.arranger.harmony import voice_chord
from engine.training.arranger.melody import HIGHEST, LOWEST, scale_ladder
from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan, Plan
from engine.training.arranger.rhythm import TICKS_PER_BAR, velocity
from engine.training.arranger.score import STRUM_TICKS, Note, Score
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

_HITS_CHANCE, _CUT_CHANCE, _RING_CHANCE = 0.25, 0.7, 0.6
_FILL_CHANCE, _SOFT_FILL_CHANCE, _PHRASE_FILL_CHANCE, _RUN_CHANCE = 0.6, 0.35, 0.12, 0.35
_HIT_BEATS = (0, 0, 0, 2, 2, 1, 3)
_HIT_WEIGHT = 1.8
"""In units of `velocity`: 23 above an unaccented note."""
_KICK = 36
_SHORT_TICKS, _EARLY_TICKS = 12, 3
_FILL_ENERGY, _FAST_RUN_ENERGY = 0.2, 0.45


def draw_cues(rng: random.Random, plan: Plan) -> None:
    """Label the beats of fills, hits and cuts; the bars' players must have been cast."""
    bars = plan.bars
    for section in plan.sections[:-1]:
        closing = bars[section.bars.stop - 1]
        has_drums = closing.playing[DRUMS] and closing.label.energy > _FILL_ENERGY
        if rng.random() < (_FILL_CHANCE if has_drums else _SOFT_FILL_CHANCE):
            _label_fill(closing, BEATS_PER_BAR - rng.choice((1, 2)), BEATS_PER_BAR)
    for bar in bars[:-1]:
        ends_phrase = bar.label.bar_in_section % BARS_PER_PHRASE == BARS_PER_PHRASE - 1
        if ends_phrase and not bar.closes_section and bar.playing[DRUMS] and rng.random() < _PHRASE_FILL_CHANCE:
            _label_fill(bar, BEATS_PER_BAR - 1, BEATS_PER_BAR)
    if rng.random() < _HITS_CHANCE:
        _draw_hits(rng, bars[: len(bars) - (3 if plan.ends else 0)])


def _draw_hits(rng: random.Random, bars: list[BarPlan]) -> None:
    """Hits in up to three bars, never in neighbours, so that what leads up to one is not the cut of another."""
    places = range(rng.choice((1, 2)), len(bars), 2)
    for index in rng.sample(places, min(len(places), rng.randint(1, 3))):
        bar, beat = bars[index], rng.choice(_HIT_BEATS)
        _label(bar, 0, BEATS_PER_BAR, "none")
        pickup = (beat - 1) % BEATS_PER_BAR
        _label_fill(bar if beat else bars[index - 1], pickup, pickup + 1)
        _label(bar, beat, beat + 1, "hit")
        if rng.random() < _CUT_CHANCE:
            _label(bar, beat + 1, BEATS_PER_BAR, "cut")


def _label(bar: BarPlan, first: int, stop: int, cue: str) -> None:
    bar.label.cues = tuple(cue if first <= beat < stop else old for beat, old in enumerate(bar.label.cues))


def _label_fill(bar: BarPlan, first: int, stop: int) -> None:
    """Only where somebody plays who can lead into what follows."""
    if any(bar.playing[layer] for layer in (DRUMS, BASS, TEXTURE, LEAD)):
        _label(bar, first, stop, "fill")


# --- notes -----------------------------------------------------------------------------------------------------------


def play_cues(score: Score, plan: Plan) -> None:
    """Make the notes of all layers obey the labels; what drums do in a fill they have written themselves."""
    cues = [cue for bar in plan.bars for cue in bar.label.cues]
    for beat, cue in enumerate(cues):
        if cue == "hit":
            stop = beat + 1
            while stop < len(cues) and cues[stop] == "cut":
                stop += 1
            _play_hit(score, plan.bars[beat // BEATS_PER_BAR], beat * TICKS_PER_BEAT, stop * TICKS_PER_BEAT)
    for beat, cue in enumerate(cues[:-1]):
        bar = plan.bars[beat // BEATS_PER_BAR]
        ends = cue == "fill" and cues[beat + 1] != "fill"
        if ends and (not bar.playing[DRUMS] or score.rng.random() < _RUN_CHANCE):
            _play_run(score, plan, bar, beat)


def _play_hit(score: Score, bar: BarPlan, tick: int, stop: int) -> None:
    """Strike at `tick`; nothing else begins before `stop`, and what sounded before ends.

    Chords that would have gone on sounding after a cut are taken up again.
    """
    struck = [note for note in score.notes if tick <= note[0] <= tick + STRUM_TICKS]
    is_cut = stop - tick > TICKS_PER_BEAT
    resuming = {note[2] for note in score.notes if stop <= note[0] <= stop + STRUM_TICKS}
    kept: list[Note] = []
    for begin, length, layer, pitch, loudness in score.notes:
        if begin < tick:
            kept.append((begin, min(length, tick - begin), layer, pitch, loudness))
        elif begin >= stop - (0 if is_cut else _EARLY_TICKS):
            kept.append((begin, length, layer, pitch, loudness))
        is_awaited = layer in (HARMONY, TEXTURE) and layer not in resuming
        if is_cut and is_awaited and begin < tick and stop < begin + length:
            kept.append((stop, begin + length - stop, layer, pitch, loudness))
    length = stop - tick if not is_cut or score.rng.random() < _RING_CHANCE else _SHORT_TICKS
    for layer, pitch in _strike(score, bar, tick % TICKS_PER_BAR, struck):
        sounding = min(length, TICKS_PER_BEAT) if layer == BASS else length
        kept.append((tick, sounding, layer, pitch, velocity(score.rng, bar.label.energy, _HIT_WEIGHT)))
    score.notes = kept


def _strike(score: Score, bar: BarPlan, tick: int, struck: list[Note]) -> list[tuple[int, int]]:
    """(layer, pitch) of a hit: what the players have struck there anyway, made complete."""
    chord = bar.chord_at(tick)
    of_layer = {layer: [note[3] for note in struck if note[2] == layer] for layer in range(len(bar.playing))}
    strike: list[tuple[int, int]] = []
    if bar.playing[DRUMS]:
        strike += [(DRUMS, pitch) for pitch in of_layer[DRUMS] or [_KICK]]
    if bar.playing[BASS]:
        roots = [pitch for pitch in (*of_layer[BASS], *range(28, 48)) if pitch % 12 == chord.root]
        strike.append((BASS, roots[0]))
    if bar.playing[HARMONY]:
        centre = CENTRE + 4 * bar.label.valence
        strike += [
            (HARMONY, pitch)
            for pitch in of_layer[HARMONY] or voice_chord(chord, bar.idioms[HARMONY].voices, score.voicing, centre)
        ]
    for layer, home in ((TEXTURE, 64), (LEAD, bar.idioms[LEAD].lead.register)):
        if bar.playing[layer]:
            wanted = of_layer[layer][0] if of_layer[layer] else home
            near = [pitch for pitch in range(LOWEST, HIGHEST + 1) if pitch % 12 in chord.pitch_classes]
            strike.append((layer, min(near, key=lambda pitch: abs(pitch - wanted))))
    return strike


def _play_run(score: Score, plan: Plan, bar: BarPlan, beat: int) -> None:
    """Scale steps into the first note after `beat`, by the lead, else the texture, else the bass."""
    following = plan.bars[(beat + 1) // BEATS_PER_BAR]
    layer = next((one for one in (LEAD, TEXTURE, BASS) if bar.playing[one] and following.playing[one]), None)
    if layer is None:
        layer = next((one for one in (LEAD, TEXTURE, BASS) if bar.playing[one]), None)
    if layer is None:
        return
    ladder = _ladder(score, bar, layer)
    end = (beat + 1) * TICKS_PER_BEAT
    reached = [note for note in score.notes if note[2] == layer and end <= note[0] < end + TICKS_PER_BAR]
    target = min(reached)[3] if reached else ladder[len(ladder) // 2]
    place = min(range(len(ladder)), key=lambda index: abs(ladder[index] - target))
    grid = bar.idioms[layer].grid
    offsets = grid if bar.label.energy > _FAST_RUN_ENERGY else (grid[0], grid[2])
    first = place - len(offsets) if place >= len(offsets) else place + len(offsets)
    direction = 1 if first < place else -1
    begin = end - TICKS_PER_BEAT
    kept = []
    for tick, length, part, pitch, loudness in score.notes:
        if part == layer and tick < end:
            if tick >= begin:
                continue
            length = min(length, begin - tick)
        kept.append((tick, length, part, pitch, loudness))
    for index, offset in enumerate(offsets):
        until = offsets[index + 1] if index + 1 < len(offsets) else TICKS_PER_BEAT
        pitch = ladder[min(len(ladder) - 1, first + direction * index)]
        weight = -0.6 + 1.2 * index / len(offsets)
        kept.append((begin + offset, until - offset, layer, pitch, velocity(score.rng, bar.label.energy, weight)))
    score.notes = kept


def _ladder(score: Score, bar: BarPlan, layer: int) -> tuple[int, ...]:
    if layer == LEAD:
        return scale_ladder(score.key, bar.idioms[LEAD].lead.folk)
    low, high = (28, 52) if layer == BASS else (55, 91)
    return tuple(pitch for pitch in range(low, high + 1) if pitch % 12 in score.key.pitch_classes)
