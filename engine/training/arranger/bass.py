"""The bass layer, one voice in MIDI 28 … 52. Writes into the Score it is given; no state of its own."""

from __future__ import annotations

from engine.training.arranger.harmony import Chord
from engine.training.arranger.plan import BASS, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR, accent, busyness, hits, step_tick, velocity
from engine.training.arranger.score import Score
from moods.harmony import CHORD_QUALITIES, Key

LOWEST, HIGHEST = 28, 52
_PEDAL_TENSION = 0.6


def play_bass(score: Score, bar: BarPlan, next_root: int | None) -> None:
    """Write one bar; `next_root` is the pitch class that the next bar begins on."""
    idiom, label, rng = bar.idioms[BASS], bar.label, score.rng
    activity = 0.5 * label.density + 0.5 * label.energy
    line = score.choose_busy("bass", bar, idiom.bass, activity, lambda line: busyness(line.row))
    if idiom.bass_varies and rng.random() < 0.6:
        line = rng.choice(idiom.bass)
    played = hits(line.row, 0, activity)
    is_pedal = label.tension > _PEDAL_TENSION and score.choose(("pedal", label.section), (True, True, False))
    ticks = [step_tick(step, idiom.grid) for step, _ in played]
    last_pitch = score.bass_pitch
    for index, ((step, level), tick) in enumerate(zip(played, ticks, strict=True)):
        chord = bar.chord_at(tick)
        root = score.key.tonic if is_pedal else chord.root
        base = _nearest(root, score.bass_pitch, 36 + 3 * label.valence)
        if line.tones[step] in "Ra" or step == 0:
            score.bass_pitch = base
        pitch = _tone(line.tones[step], base, chord, score.key, next_root if not is_pedal else None)
        if line.tones[step] in "357" and pitch - 12 >= LOWEST and last_pitch < pitch - 6:
            pitch -= 12
        last_pitch = pitch
        until = ticks[index + 1] if index + 1 < len(ticks) else TICKS_PER_BAR
        score.add(
            bar.index, tick, (until - tick) * line.gate, BASS, pitch, velocity(rng, label.energy, accent(step) - level)
        )


def _nearest(pitch_class: int, previous: int, centre: float) -> int:
    """The octave of a pitch class between the last root and the register's centre."""
    candidates = range(LOWEST + (pitch_class - LOWEST) % 12, HIGHEST - 6, 12)
    return min(candidates, key=lambda pitch: abs(pitch - previous) + abs(pitch - centre))


def _tone(tone: str, root_pitch: int, chord: Chord, key: Key, next_root: int | None) -> int:
    """The pitch of a letter of a bass line over a root."""
    steps = CHORD_QUALITIES[chord.quality]
    if root_pitch % 12 != chord.root:  # a pedal: the chord's own tones would leave it
        steps = (0, 7) if (root_pitch + 7) % 12 in key.pitch_classes else (0,)
    interval = {"R": 0, "8": 12, "5": 0, "3": 0, "7": 0, "a": 0}[tone]
    if tone == "5":
        interval = next((step for step in steps if step in (6, 7, 8)), 0)
    elif tone == "3":
        interval = next((step for step in steps if step in (3, 4)), 0)
    elif tone == "7":
        interval = next((step for step in steps if step in (10, 11)), 0)
    elif tone == "a" and next_root is not None:
        target = root_pitch + (next_root - root_pitch + 6) % 12 - 6
        below, above = (_scale_neighbour(target, direction, key) for direction in (-1, 1))
        interval = (below if target >= root_pitch else above) - root_pitch
    pitch = root_pitch + interval
    while pitch > HIGHEST:
        pitch -= 12
    return pitch if pitch >= LOWEST else pitch + 12


def _scale_neighbour(pitch: int, direction: int, key: Key) -> int:
    """The next pitch of the scale above or below."""
    neighbour = pitch + direction
    while neighbour % 12 not in key.pitch_classes:
        neighbour += direction
    return neighbour
