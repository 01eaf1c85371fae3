"""The lead layer: themes of eight bars over the chords. In: bar plans; out: notes in the Score. A Melodist per piece.

Themes (motifs.py) are composed over the chords that they are first heard with, and kept as places on a ladder of scale
tones: what returns is the same tune. Where a return's chords are others, that is how the tune is heard anew.
"""

from __future__ import annotations

from functools import lru_cache

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.harmony import Chord
from engine.training.arranger.idioms import Lead
from engine.training.arranger.motifs import (
    BARS_PER_THEME,
    Ground,
    Places,
    Theme,
    ThemeNote,
    compose,
    draw_material,
    vary,
    with_other_ending,
)
from engine.training.arranger.plan import LEAD, BarPlan, Plan
from engine.training.arranger.rhythm import STEPS_PER_BAR, TICKS_PER_BAR, Grid, accent, step_tick, velocity
from engine.training.arranger.score import Score
from moods.harmony import SCALES, Key
from moods.intent import BEATS_PER_BAR

LOWEST, HIGHEST = 60, 86
_FREE_TENSION = 0.55
"""Above this, weak notes may leave the scale."""
_ARPEGGIO_TICKS, _GRACE_TICKS = 6, 3
_ACTIVITY_LEVELS, _LIVELIER = 5, 0.25
"""A lead has few levels of activity, so that what is said again has the same notes; and it is the liveliest layer."""
_LOUDER_A_STEP = 1.2
"""Velocity for each step of the ladder above home: what is higher is louder."""


class Melodist:
    """Writes the lead of one piece. Remembers what its themes are made of, and the themes."""

    def __init__(self, score: Score, plan: Plan, lead: Lead) -> None:
        self._score, self._plan, self._lead = score, plan, lead
        self._ladder = scale_ladder(score.key, lead.folk)
        self._material = draw_material(score.rng, lead)
        self._themes: dict[tuple[str, int, int], Theme] = {}
        self._homes: dict[str, int] = {}

    def play(self, bar: BarPlan, sounds_until: int) -> None:
        """Write one bar of the theme of its section; the last note may ring until tick `sounds_until`."""
        part, place = divmod(bar.label.bar_in_section, BARS_PER_THEME)
        theme = self._theme(bar, part)
        if bar.section_bars <= BARS_PER_THEME // 2 and place >= 2:
            place += BARS_PER_THEME // 2  # a short section has the theme's head and its close
        activity = min(1.0, round((bar.pitched_activity + _LIVELIER) * _ACTIVITY_LEVELS) / _ACTIVITY_LEVELS)
        sounding = [note for note in theme[place] if note.level <= activity]
        after = [note for note in theme[(place + 1) % BARS_PER_THEME] if note.level <= activity]
        grid = bar.idioms[LEAD].grid
        for index, note in enumerate(sounding):
            following = [note.step for note in sounding[index + 1 :]] + [STEPS_PER_BAR + note.step for note in after]
            until = min([note.step + note.hold_steps, *following[:1]])
            end = min(step_tick_beyond(until, grid), sounds_until)
            tick = min(step_tick(note.step, grid) + self._lead.late_ticks, end - 1)
            self._write(bar, note, tick, end)

    def _theme(self, bar: BarPlan, part: int) -> Theme:
        """The theme of a section's `part`-th eight bars; what returns is the first one, changed as the plan says."""
        name = bar.label.section
        occasion = (name, part, bar.visit)
        if occasion not in self._themes:
            rng, ground = self._score.rng, self._ground(bar, part)
            origin = (name, 0, 0)
            if origin not in self._themes:
                self._themes[origin] = compose(rng, self._material, self._lead, name, ground)
            theme = self._themes[origin]
            if part % 2 or (bar.visit and bar.change == "answer"):
                theme = with_other_ending(rng, theme, self._material, self._lead, ground)
            self._themes[occasion] = vary(rng, theme, bar.change, self._lead, ground) if bar.visit else theme
        return self._themes[occasion]

    def _ground(self, bar: BarPlan, part: int) -> Ground:
        """The chords of a section's `part`-th eight bars, those of a shorter one again and again."""
        first = bar.index - bar.label.bar_in_section + part * BARS_PER_THEME
        bars = self._plan.bars[first : first + min(BARS_PER_THEME, bar.section_bars - part * BARS_PER_THEME)]
        label = bars[0].label
        centre = self._lead.register + 4 * label.valence + 2 * label.energy
        home = self._homes.setdefault(label.section, _index_of(self._ladder, centre))
        chords = tuple(
            tuple(self._places(bar.chord_at(beat * TICKS_PER_BEAT)) for beat in range(BEATS_PER_BAR)) for bar in bars
        )
        return Ground(self._ladder, home, chords)

    def _places(self, chord: Chord) -> tuple[Places, Places]:
        """Of the chord's tones and of its root on the ladder."""
        places = list(enumerate(self._ladder))
        return (
            frozenset(place for place, pitch in places if pitch % 12 in chord.pitch_classes),
            frozenset(place for place, pitch in places if pitch % 12 == chord.root),
        )

    def _write(self, bar: BarPlan, note: ThemeNote, tick: int, end: int) -> None:
        score, label = self._score, bar.label
        place = min(max(note.degree, 0), len(self._ladder) - 1)
        pitch = self._ladder[place]
        if label.tension > _FREE_TENSION and note.step % 8 and note.chance < label.tension - 0.35:
            pitch = min(HIGHEST, max(LOWEST, pitch + note.bend))
        score.lead_pitch = pitch
        length = (end - tick) * self._lead.gate
        weight = accent(note.step) * 0.6 + 0.7 - 0.4 * note.level
        height = _LOUDER_A_STEP * (place - self._homes[label.section])
        loudness = min(126, max(18, round(velocity(score.rng, label.energy, weight) + height)))
        is_ornamented = note.figure and length >= 18 and tick >= 3 and note.chance < bar.pitched_activity
        if is_ornamented and (tick + length <= TICKS_PER_BAR or note.figure in ("grace", "slide")):
            self._ornament(bar, note.figure, tick, int(length), pitch, loudness)
        else:
            score.add(bar.index, tick, length, LEAD, pitch, loudness)

    def _ornament(self, bar: BarPlan, figure: str, tick: int, length: int, pitch: int, loudness: int) -> None:
        """What a long note is made of instead: see `idioms.Lead.figures`."""
        ladder = scale_ladder(self._score.key, self._lead.folk)
        place = _index_of(ladder, pitch)
        lower, upper = ladder[max(place - 1, 0)], ladder[min(place + 1, len(ladder) - 1)]
        grace = _GRACE_TICKS
        if figure == "grace":
            parts = [(0, upper, -14), (grace, pitch, 0)]
        elif figure == "slide":
            parts = [(0, ladder[max(place - 2, 0)], -16), (grace, lower, -10), (2 * grace, pitch, 0)]
        elif figure == "turn":
            late = length // 12 * 6
            parts = [(0, pitch, 0), (late, upper, -12), (late + grace, pitch, -6)]
        elif figure == "arpeggio":
            tones = [p for p in range(pitch - 12, pitch + 13) if p % 12 in bar.chord_at(tick).pitch_classes]
            walk = [pitch, *[p for p in tones if LOWEST <= p <= HIGHEST and p != pitch][-3:][::-1]]
            parts = [
                (begin, walk[index % len(walk)], 0 if index % 4 == 0 else -8)
                for index, begin in enumerate(range(0, length - _ARPEGGIO_TICKS + 1, _ARPEGGIO_TICKS))
            ]
        else:
            assert figure == "octave", figure
            parts = [(0, pitch, 0), (length // 12 * 6, pitch + 12 if pitch + 12 <= HIGHEST else pitch - 12, -8)]
        for (begin, part, softer), until in zip(parts, [part[0] for part in parts[1:]] + [length], strict=True):
            self._score.add(bar.index, tick + begin, until - begin, LEAD, part, max(20, loudness + softer))


@lru_cache(maxsize=512)
def scale_ladder(key: Key, folk: bool) -> tuple[int, ...]:
    """Pitches 60 … 86 of the scale; of a folk lead without the steps that make half-tones."""
    steps = SCALES[key.scale]
    if folk and len(steps) == 7:
        dropped = (3, 6) if 4 in steps else (1, 5)
        steps = tuple(step for index, step in enumerate(steps) if index not in dropped)
    return tuple(pitch for pitch in range(LOWEST, HIGHEST + 1) if (pitch - key.tonic) % 12 in steps)


def step_tick_beyond(step: int, grid: Grid) -> int:
    """`step_tick` for steps after the bar line too."""
    bars, within = divmod(step, STEPS_PER_BAR)
    return bars * TICKS_PER_BAR + step_tick(within, grid)


def _index_of(ladder: tuple[int, ...], pitch: float) -> int:
    return min(range(len(ladder)), key=lambda index: abs(ladder[index] - pitch))
