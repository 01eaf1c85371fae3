"""The lead layer: themes of eight bars over the chords. In: bar plans; out: notes in the Score. A Melodist per piece.

Themes (motifs.py) are kept in steps of a ladder of scale tones, not in pitches, so that they follow the harmony under
them when they return. Strong beats move to the nearest tone of the chord and take the notes after them along, so that
a line that goes by step still does over any chord.
"""

from __future__ import annotations

from functools import lru_cache

from engine.training.arranger.idioms import Lead
from engine.training.arranger.motifs import BARS_PER_THEME, Theme, ThemeNote, compose, draw_motifs, vary
from engine.training.arranger.plan import LEAD, BarPlan
from engine.training.arranger.rhythm import STEPS_PER_BAR, TICKS_PER_BAR, Grid, accent, step_tick, velocity
from engine.training.arranger.score import Score
from moods.harmony import SCALES, Key

LOWEST, HIGHEST = 60, 96
_FREE_TENSION = 0.55
"""Above this, weak notes may leave the scale."""
_WIDEST_LEAP = 9
_ARPEGGIO_TICKS, _GRACE_TICKS = 6, 3


class Melodist:
    """Writes the lead of one piece. Remembers its motifs and themes, and how far the last strong beat was moved."""

    def __init__(self, score: Score, lead: Lead) -> None:
        self._score, self._lead = score, lead
        self._motifs = draw_motifs(score.rng, lead)
        self._themes: dict[tuple[str, int, int], Theme] = {}
        self._moved = 0  # steps of the ladder
        self._span = (0, 0)  # lowest and highest degree of the theme that sounds

    def play(self, bar: BarPlan, sounds_until: int) -> None:
        """Write one bar of the theme of its section; the last note may ring until tick `sounds_until`."""
        part, place = divmod(bar.label.bar_in_section, BARS_PER_THEME)
        theme = self._theme(bar, part)
        degrees = [note.degree for note in theme]
        self._span = min(degrees, default=0), max(degrees, default=0)
        if bar.section_bars <= BARS_PER_THEME // 2 and place >= 2:
            place += BARS_PER_THEME // 2  # a short section has the theme's head and its close
        low = place * STEPS_PER_BAR
        sounding = [note for note in theme if note.level <= bar.pitched_activity]
        grid = bar.idioms[LEAD].grid
        for index, note in enumerate(sounding):
            if not low <= note.step < low + STEPS_PER_BAR:
                continue
            step = note.step - low
            following = sounding[index + 1].step - low if index + 1 < len(sounding) else step + note.hold_steps
            end = min(step_tick_beyond(min(following, step + note.hold_steps), grid), sounds_until)
            tick = min(step_tick(step, grid) + self._lead.late_ticks, end - 1)
            self._write(bar, note, sounding[index + 1 : index + 2], step, tick, end)

    def _theme(self, bar: BarPlan, part: int) -> Theme:
        """The theme of a section's `part`-th eight bars; what returns is the first one, changed as the plan says."""
        name = bar.label.section
        occasion = (name, part, bar.visit)
        if occasion not in self._themes:
            rng = self._score.rng
            origin = (name, 0, 0)
            if origin not in self._themes:
                self._themes[origin] = compose(rng, self._motifs, self._lead, name)
            theme = self._themes[origin]
            if part % 2:
                theme = vary(rng, theme, "answer", self._motifs, self._lead)
            self._themes[occasion] = vary(rng, theme, bar.change, self._motifs, self._lead) if bar.visit else theme
        return self._themes[occasion]

    def _write(self, bar: BarPlan, note: ThemeNote, following: Theme, step: int, tick: int, end: int) -> None:
        score, label = self._score, bar.label
        pitch = self._pitch(bar, note, step, tick)
        if self._lead.approaches and following and step % 4 and following[0].step - note.step <= 2:
            pitch = self._approach(bar, pitch, following[0], step + following[0].step - note.step)
        score.lead_pitch = pitch
        length = (end - tick) * self._lead.gate
        loudness = velocity(score.rng, label.energy, accent(step) * 0.6 + 0.5 - 0.4 * note.level)
        is_ornamented = note.figure and length >= 18 and tick >= 3 and note.chance < 0.4 + bar.pitched_activity
        if is_ornamented and (tick + length <= TICKS_PER_BAR or note.figure in ("grace", "slide")):
            self._ornament(bar, note.figure, tick, int(length), pitch, loudness)
        else:
            score.add(bar.index, tick, length, LEAD, pitch, loudness)

    def _pitch(self, bar: BarPlan, note: ThemeNote, step: int, tick: int) -> int:
        """The pitch of a note over its chord; in tense bars some weak ones are chromatic neighbours."""
        ladder, label, previous = scale_ladder(self._score.key, self._lead.folk), bar.label, self._score.lead_pitch
        centre = self._lead.register + 9 * label.valence + 2 * label.energy
        lowest, highest = self._span  # a theme that would leave the range is moved as a whole
        home = max(-lowest, min(len(ladder) - 2 - highest, _index_of(ladder, centre)))
        base = home + note.degree
        tones = bar.chord_at(tick).pitch_classes
        is_strong = step % 8 == 0 or (step % 4 == 0 and note.hold_steps >= 6) or bool(note.close)
        place = base if is_strong else base + self._moved
        pitch = ladder[min(max(place, 0), len(ladder) - 1)]
        while previous and abs(pitch - previous) > _WIDEST_LEAP and note.step % (4 * STEPS_PER_BAR):
            nearer = pitch - 12 if pitch > previous else pitch + 12
            if not LOWEST <= nearer <= HIGHEST:
                break
            pitch = nearer
        if note.close:
            return _nearest(pitch, {"closed": tones[:1], "open": tones[1:3]}[note.close], previous)
        if is_strong:
            snapped = _nearest(pitch, tones, previous)
            self._moved = max(-2, min(2, _index_of(ladder, snapped) - base))
            return snapped
        if label.tension > _FREE_TENSION and note.chance < label.tension - 0.35:
            target = pitch + (1 if note.degree % 2 else -1)
            return min(HIGHEST, max(LOWEST, target))
        return pitch

    def _approach(self, bar: BarPlan, pitch: int, following: ThemeNote, step: int) -> int:
        """A neighbour of the strong tone at `step` instead of `pitch`: of the scale, in tense bars a half-tone."""
        if step % 8 or step >= STEPS_PER_BAR:
            return pitch
        moved, ladder = self._moved, scale_ladder(self._score.key, self._lead.folk)
        target = self._pitch(bar, following, step, step_tick(step, bar.idioms[LEAD].grid))
        self._moved = moved
        side = 1 if pitch > target else -1
        if bar.label.tension > _FREE_TENSION:
            return min(HIGHEST, max(LOWEST, target + side))
        return ladder[min(max(_index_of(ladder, target) + side, 0), len(ladder) - 1)]

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
    """Pitches 60 … 96 of the scale; of a folk lead without the steps that make half-tones."""
    steps = SCALES[key.scale]
    if folk and len(steps) == 7:
        dropped = (3, 6) if 4 in steps else (1, 5)
        steps = tuple(step for index, step in enumerate(steps) if index not in dropped)
    return tuple(pitch for pitch in range(LOWEST, HIGHEST + 1) if (pitch - key.tonic) % 12 in steps)


def step_tick_beyond(step: int, grid: Grid) -> int:
    """`step_tick` for steps after the bar line too."""
    bars, within = divmod(step, STEPS_PER_BAR)
    return bars * TICKS_PER_BAR + step_tick(within, grid)


def _nearest(pitch: int, pitch_classes: tuple[int, ...], previous: int) -> int:
    """The nearest pitch of the lead's range in one of the pitch classes; of two, the one nearer to `previous`."""
    candidates = [p for p in range(LOWEST, HIGHEST + 1) if p % 12 in pitch_classes]
    return min(candidates, key=lambda p: abs(p - pitch) + (0.25 * abs(p - previous) if previous else 0.0))


def _index_of(ladder: tuple[int, ...], pitch: float) -> int:
    return min(range(len(ladder)), key=lambda index: abs(ladder[index] - pitch))
