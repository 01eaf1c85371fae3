"""The texture layer: arpeggios, pads, ostinatos, pulses and ornaments between bass and lead, up to three voices.

It is written after the lead: where the lead moves it thins out, and where the lead rests it may answer with the lead's
last notes. Writes into the Score it is given; no state of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.harmony import Chord
from engine.training.arranger.idioms import Texture
from engine.training.arranger.plan import LEAD, TEXTURE, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR, accent, busyness, hits, parse_row, step_tick, velocity
from engine.training.arranger.score import Score
from moods.intent import BARS_PER_PHRASE

LOWEST, HIGHEST = 40, 100
_PULSE_TENSION = 0.65
_CALM_ACTIVITY, _LEAD_ROOM = 0.45, 0.3
"""Below the first a texture is thinned; hits of a level above the second give way in beats in which the lead moves."""
_ECHO_NOTES = 4
_OSTINATO = Texture("ostinato", "0.1.0.2.0.1.0.24", "0001", 0.7)


def play_texture(score: Score, bar: BarPlan, sounds_until: int) -> None:
    """Write one bar; notes may ring until tick `sounds_until`, through the bar line."""
    idiom, label = bar.idioms[TEXTURE], bar.label
    activity = bar.pitched_activity
    texture = score.choose_busy("texture", bar, idiom.textures, activity, lambda texture: busyness(texture.row))
    if label.tension > _PULSE_TENSION and score.choose(("pulse", label.section), (True, False)):
        texture = _OSTINATO
    struck = hits(
        texture.row, bar.index, activity if activity > _CALM_ACTIVITY else activity * activity / _CALM_ACTIVITY
    )
    busy_beats = _beats_of_moving_lead(score, bar)
    struck = [(step, level) for step, level in struck if level < _LEAD_ROOM or step // 4 not in busy_beats]
    echo = _echo(score, bar) if bar.change == "counter" or score.choose(("echo", label.section), (True, False)) else []
    if echo:
        struck = [(step, level) for step, level in struck if step * TICKS_PER_BEAT < echo[0][0] * 4]
    for tick, length, pitch in echo:
        score.add(bar.index, tick, length, TEXTURE, pitch, velocity(score.rng, label.energy, -0.3))
    steps = [(step, level, step_tick(step, idiom.grid)) for step, level in struck]
    for index, (step, level, tick) in enumerate(steps):
        until = steps[index + 1][2] if index + 1 < len(steps) else TICKS_PER_BAR
        chord = bar.chord_at(tick)
        limit = min(sounds_until, max(chord.start + chord.left, tick + 6))
        length = min((until - tick) * texture.gate, limit - tick, 3 * TICKS_PER_BEAT if texture.gate > 1 else 384)
        loudness = velocity(score.rng, label.energy, accent(step) * 0.7 - 0.6 - 0.5 * level)
        for pitch in _KINDS[texture.kind](score, bar, texture, chord, step):
            score.add(bar.index, tick, length, TEXTURE, min(HIGHEST, max(LOWEST, pitch)), loudness)


def _beats_of_moving_lead(score: Score, bar: BarPlan) -> set[int]:
    onsets = [tick // TICKS_PER_BEAT for tick, _, _ in score.notes_of(bar.index, LEAD)]
    return {beat for beat in onsets if onsets.count(beat) > 1}


def _echo(score: Score, bar: BarPlan) -> list[tuple[int, int, int]]:
    """(tick, length, pitch) of an answer in the lead's rest at the end of the bar: its last notes, an octave lower."""
    lead = score.notes_of(bar.index, LEAD)
    if not lead:
        return []
    last_tick, last_length, _ = lead[-1]
    begin = -(-(last_tick + min(last_length, TICKS_PER_BEAT)) // TICKS_PER_BEAT) * TICKS_PER_BEAT
    called = lead[-_ECHO_NOTES:]
    delay = begin - called[0][0]
    answer = []
    for index, (tick, length, pitch) in enumerate(called):
        at = tick + delay
        until = called[index + 1][0] + delay if index + 1 < len(called) else at + min(length, TICKS_PER_BEAT)
        if at < TICKS_PER_BAR:
            answer.append(
                (at, min(until, TICKS_PER_BAR) - at, _in_chord(bar, at, pitch - 12) if not index else pitch - 12)
            )
    return answer if len(answer) >= 2 else []


def _in_chord(bar: BarPlan, tick: int, pitch: int) -> int:
    tones = bar.chord_at(tick).pitch_classes
    return min(range(pitch - 5, pitch + 6), key=lambda near: (near % 12 not in tones, abs(near - pitch)))


def _tones(score: Score, bar: BarPlan, chord: Chord, lowest: int) -> list[int]:
    """Chord tones over two octaves upwards from about `lowest`, shifted by the valence."""
    bottom = lowest + round(4 * bar.label.valence)
    within = sorted((pc - bottom) % 12 for pc in chord.pitch_classes)
    return [bottom + distance + octave for octave in (0, 12) for distance in within]


def _arpeggio(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """The step's own tone, not the next one in line: thinned rows keep their shape."""
    tones = _tones(score, bar, chord, score.choose(("arpeggio", bar.label.section), (50, 53, 57, 62)))
    grid_steps = [position for position, _ in parse_row(texture.row)[0]]
    return [tones[int(texture.order[grid_steps.index(step) % len(texture.order)]) % len(tones)]]


def _pad(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    tones = _tones(score, bar, chord, 60)
    return tones[1:3]


def _sparkle(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """Single high chord tones, far apart."""
    return [score.rng.choice(_tones(score, bar, chord, 70)[:5])]


def _ostinato(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """A cell around one tone, the same over every chord, turned as a phrase closes; the tenser, the closer it is."""
    key, tension = score.key, bar.label.tension
    root = 55 + (key.tonic - 55) % 12 - (12 if bar.label.valence < 0 and (key.tonic - 55) % 12 > 4 else 0)
    neighbour = 1 if tension > 0.5 else next(step for step in (2, 3, 1) if (key.tonic + step) % 12 in key.pitch_classes)
    fifth = 6 if tension > 0.75 else 7 if (key.tonic + 7) % 12 in key.pitch_classes else 0
    cell = (0, neighbour, fifth)
    grid_steps = [position for position, _ in parse_row(texture.row)[0]]
    turned = 1 if step >= 8 and bar.label.bar_in_section % BARS_PER_PHRASE == BARS_PER_PHRASE - 1 else 0
    return [root + cell[(int(texture.order[grid_steps.index(step) % len(texture.order)]) + turned) % len(cell)]]


def _pulse(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """One repeated tone of the chord, another in every second bar, a half-tone beside it in very tense ones."""
    tone = _tones(score, bar, chord, 52)[bar.label.bar_in_section % 2]
    return [tone, tone + 1] if bar.label.tension > 0.75 else [tone]


def _tremolo(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """A dyad, restlessly alternating."""
    tones = _tones(score, bar, chord, 58)
    return [tones[0 if step % 4 == 0 else 1]] + ([tones[2]] if step % 8 == 0 else [])


def _stabs(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    tones = _tones(score, bar, chord, 58)
    return [tones[0], tones[2]]


def _counter(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """A slow line of chord tones: the nearest to the last one that is not the same."""
    last = score.counter_pitch
    tones = [tone for tone in _tones(score, bar, chord, 52) if tone != last]
    score.counter_pitch = min(tones, key=lambda tone: abs(tone - last) + 0.3 * abs(tone - 60 - 3 * bar.label.valence))
    return [score.counter_pitch]


def _runs(score: Score, bar: BarPlan, texture: Texture, chord: Chord, step: int) -> list[int]:
    """A scale run to the next bar, upwards or downwards."""
    key = score.key
    bottom = 60 + (chord.root - 60) % 12
    ladder = [pitch for pitch in range(bottom, bottom + 24) if pitch % 12 in key.pitch_classes]
    place = step // 2 if bar.index % 4 == 3 else (15 - step)
    return [ladder[min(place, len(ladder) - 1)]]


_KINDS: dict[str, Callable[[Score, BarPlan, Texture, Chord, int], list[int]]] = {
    "arpeggio": _arpeggio,
    "pad": _pad,
    "sparkle": _sparkle,
    "ostinato": _ostinato,
    "pulse": _pulse,
    "tremolo": _tremolo,
    "stabs": _stabs,
    "counter": _counter,
    "runs": _runs,
}
