"""The bass layer, one voice in MIDI 28 … 52. Writes into the Score it is given; no state of its own."""

from __future__ import annotations

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.cues import hit_ticks, may_begin, ticks_to_cut
from engine.training.arranger.harmony import Chord
from engine.training.arranger.idioms import BassLine
from engine.training.arranger.plan import BASS, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR, accent, busyness, hits, step_tick, velocity
from engine.training.arranger.score import Score
from moods.harmony import CHORD_QUALITIES, Key
from moods.intent import BARS_PER_PHRASE

LOWEST, HIGHEST = 28, 52
_PEDAL_TENSION = 0.6
_RUN_ACTIVITY = 0.35
_LAST_BEAT = TICKS_PER_BAR - TICKS_PER_BEAT


def play_bass(score: Score, bar: BarPlan, next_root: int | None) -> None:
    """Write one bar; `next_root` is the pitch class that the next bar begins on.

    Every chord gets its root, a hit too; in a cut the bass is silent. Phrases of busy bars close with a run upwards
    or downwards to the next root.
    """
    idiom, label, rng = bar.idioms[BASS], bar.label, score.rng
    activity = 0.5 * label.density + 0.5 * label.energy
    line = score.choose_busy("bass", bar, idiom.bass, activity, lambda line: busyness(line.row))
    if idiom.bass_varies and rng.random() < 0.6:
        line = rng.choice(idiom.bass)
    is_pedal = label.tension > _PEDAL_TENSION and score.choose(("pedal", label.section), (True, True, False))
    struck = _struck(score, bar, line, activity)
    for index, (tick, tone, weight) in enumerate(struck):
        chord = bar.chord_at(tick)
        root = score.key.tonic if is_pedal and tone != "H" else chord.root
        base = _nearest(root, score.bass_root, 36 + 3 * label.valence)
        if tone in "RaH" or index == 0:
            score.bass_root = base
        pitch = _tone(tone, base, score.bass_pitch, chord, score.key, None if is_pedal else next_root)
        score.bass_pitch = pitch
        until = struck[index + 1][0] if index + 1 < len(struck) else TICKS_PER_BAR
        length = min((until - tick) * line.gate, ticks_to_cut(bar, tick))
        score.add(bar.index, tick, length, BASS, pitch, velocity(rng, label.energy, weight))


def _struck(score: Score, bar: BarPlan, line: BassLine, activity: float) -> list[tuple[int, str, float]]:
    """(tick, tone, weight) of the bar's notes, in time order."""
    grid = bar.idioms[BASS].grid
    found = {
        step_tick(step, grid): (line.tones[step], accent(step) - level) for step, level in hits(line.row, 0, activity)
    }
    if _runs_out(score, bar, activity):
        found = {tick: note for tick, note in found.items() if tick < _LAST_BEAT}
        found |= {_LAST_BEAT + grid[step]: ("w", 0.2 - 0.1 * step) for step in (0, 2, 3)[: 2 + (activity > 0.7)]}
    found = {tick: note for tick, note in found.items() if may_begin(bar, tick)}
    for chord in bar.chords:
        if chord.start >= 0 and may_begin(bar, chord.start):
            first = min((tick for tick in found if tick >= chord.start), default=TICKS_PER_BAR)
            if first >= chord.start + TICKS_PER_BEAT:
                found[chord.start] = ("R", 0.3)
            else:
                found[first] = ("R", found[first][1])
    found |= dict.fromkeys(hit_ticks(bar), ("H", 2.0))
    return [(tick, *note) for tick, note in sorted(found.items())]


def _runs_out(score: Score, bar: BarPlan, activity: float) -> bool:
    """Does the bar's last beat run to the next root? Only where a phrase closes, and rather before a new section."""
    is_close = bar.label.bar_in_section % BARS_PER_PHRASE == BARS_PER_PHRASE - 1
    if not is_close or activity < _RUN_ACTIVITY or not bar.idioms[BASS].bass_runs:
        return False
    return score.rng.random() < (0.7 if bar.closes_section else 0.3)


def _nearest(pitch_class: int, previous: int, centre: float) -> int:
    """The octave of a pitch class between the last root and the register's centre."""
    candidates = range(LOWEST + (pitch_class - LOWEST) % 12, HIGHEST - 6, 12)
    return min(candidates, key=lambda pitch: abs(pitch - previous) + abs(pitch - centre))


def _tone(tone: str, root_pitch: int, last_pitch: int, chord: Chord, key: Key, next_root: int | None) -> int:
    """The pitch of a letter of a bass line over a root; `w` walks by a step of the scale towards the next root."""
    if tone == "w":
        target = last_pitch + ((chord.root if next_root is None else next_root) - last_pitch + 5) % 12 - 5
        pitch = _scale_neighbour(last_pitch, 1 if target >= last_pitch else -1, key)
        return pitch if LOWEST <= pitch <= HIGHEST else last_pitch
    steps = CHORD_QUALITIES[chord.quality]
    if root_pitch % 12 != chord.root:  # a pedal: the chord's own tones would leave it
        steps = (0, 7) if (root_pitch + 7) % 12 in key.pitch_classes else (0,)
    interval = {"R": 0, "H": 0, "8": 12, "5": 0, "3": 0, "7": 0, "a": 0}[tone]
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
    if tone in "357" and pitch - 12 >= LOWEST and last_pitch < pitch - 6:
        pitch -= 12
    while pitch > HIGHEST:
        pitch -= 12
    return pitch if pitch >= LOWEST else pitch + 12


def _scale_neighbour(pitch: int, direction: int, key: Key) -> int:
    """The next pitch of the scale above or below."""
    neighbour = pitch + direction
    while neighbour % 12 not in key.pitch_classes:
        neighbour += direction
    return neighbour
