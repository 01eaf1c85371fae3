"""The lead layer: motifs, themes and their return. In: bar plans; out: notes in the Score. A Melodist per piece.

A motif is two bars long and made of the idiom's beat cells on a contour of scale steps. A theme is eight bars: four
places for the motif, its sequence, inversion, augmentation, a second motif, silence, and an answer that closes on a
tone of the chord. Themes are kept in steps, not pitches, so that they follow the harmony under them when they return.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.score.piece import TICKS_PER_BEAT
from engine.training.arranger.idioms import Lead
from engine.training.arranger.plan import LEAD, BarPlan
from engine.training.arranger.rhythm import STEPS_PER_BAR, TICKS_PER_BAR, Grid, accent, parse_row, step_tick, velocity
from engine.training.arranger.score import Score
from moods.harmony import SCALES, Key

LOWEST, HIGHEST = 60, 96
# Beats of a two-bar motif: letters are cells, a dash is held or silent.
_SHAPES = ("abacab--", "aabaac--", "ab-cab--", "a-b-ac--", "abcbabd-", "abacd---", "-abc-ab-", "aba-abc-", "abcda---")
_CONTOURS = (  # heights at even distances over the two bars
    (0.0, 0.7, 1.0, 0.4, 0.0), (0.0, 0.3, 1.0, 0.8, 0.2), (1.0, 0.6, 0.3, 0.5, 0.0), (0.0, 1.0, 0.2, 0.8, 0.0),
    (0.6, 0.0, 0.3, 1.0, 0.5), (1.0, 0.4, 0.8, 0.2, 0.0), (0.0, 0.0, 0.5, 0.5, 1.0), (0.3, 0.3, 1.0, 0.0, 0.3),
)  # fmt: skip
# Two-bar places of a theme: motif, n second motif, s sequence, i inversion, g (with -) augmentation, r rest, a answer.
_THEMES = {
    "A": ("msma", "mmsa", "mrma", "misa", "mnma", "mama", "mssa", "mrna"),
    "B": ("nsna", "nrna", "g-na", "nina", "nmsa", "nnsa"),
    "intro": ("rm", "g-", "rr"),
    "break": ("g-", "mr", "na", "rm"),
    "outro": ("ma", "ra", "g-", "mr"),
}


@dataclass(frozen=True, slots=True)
class ThemeNote:
    step: int  # sixteenth from the start of its two bars
    level: float  # sounds where the activity is at least this
    degree: int  # steps of the ladder above the register
    hold_steps: int  # longest length in sixteenths
    is_answer: bool = False  # closes a phrase: goes to the tonic or fifth of the chord


Motif = tuple[ThemeNote, ...]


class Melodist:
    """Writes the lead of one piece. Remembers its motifs and themes."""

    def __init__(self, score: Score, lead: Lead) -> None:
        self._score, self._lead = score, lead
        rng = score.rng
        first = _draw_motif(rng, lead)
        second = _draw_motif(rng, lead, raised=rng.choice((0, 1, 2, 3)))
        self._motifs = {"m": first, "n": second, "x": _draw_motif(rng, lead)}
        self._themes: dict[tuple[str, int], tuple[Motif, ...]] = {}

    def play(self, bar: BarPlan, sounds_until: int) -> None:
        """Write one bar of the theme of its section; the last note may ring until tick `sounds_until`."""
        theme = self._theme(bar.label.section, bar.visit + bar.label.bar_in_section // 8)
        place, half = divmod(bar.label.bar_in_section % 8, 2)
        motif = theme[place % len(theme)]
        low = half * STEPS_PER_BAR
        activity = bar.pitched_activity
        sounding = [note for note in motif if note.level <= activity]
        grid = bar.idioms[LEAD].grid
        for index, note in enumerate(sounding):
            if not low <= note.step < low + STEPS_PER_BAR:
                continue
            step = note.step - low
            following = sounding[index + 1].step - low if index + 1 < len(sounding) else step + note.hold_steps
            end = min(step_tick_beyond(min(following, step + note.hold_steps), grid), sounds_until)
            self._write(bar, note, step, step_tick(step, grid), end)

    def _theme(self, section: str, visit: int) -> tuple[Motif, ...]:
        """The theme of a section; what returns is the first one changed."""
        if (section, visit) not in self._themes:
            rng = self._score.rng
            is_new = visit == 0
            theme = self._compose(rng.choice(_THEMES[section])) if is_new else self._vary(self._theme(section, 0))
            self._themes[section, visit] = theme
        return self._themes[section, visit]

    def _compose(self, places: str) -> tuple[Motif, ...]:
        rng, theme = self._score.rng, []
        base = "n" if "n" in places and "m" not in places else "m"
        for index, letter in enumerate(places):
            if letter in "mn":
                theme.append(self._motifs[letter])
            elif letter == "s":
                theme.append(_shifted(self._motifs[base], rng.choice((-2, -1, 1, 2))))
            elif letter == "i":
                theme.append(_inverted(self._motifs[base]))
            elif letter == "g":
                theme.append(_augmented(self._motifs[base], 0))
            elif letter == "-":
                theme.append(_augmented(self._motifs[base], 1))
            elif letter == "a":
                is_silent = index < len(places) - 1 and rng.random() < self._lead.rests
                theme.append(() if is_silent else _answer(rng, self._motifs[base]))
            else:
                theme.append(())
        return tuple(theme)

    def _vary(self, theme: tuple[Motif, ...]) -> tuple[Motif, ...]:
        """The theme again: ornamented, its second half higher, or with a new answer."""
        rng = self._score.rng
        varied = list(theme)
        change = rng.choice(("ornament", "register", "answer", "ornament answer", "register answer"))
        if "ornament" in change:
            varied = [_ornamented(rng, motif) for motif in varied]
        if "register" in change:
            half = len(varied) // 2
            varied[half:] = [_shifted(motif, rng.choice((1, 2, 3))) for motif in varied[half:]]
        if "answer" in change:
            varied[-1] = _answer(rng, self._motifs["x"])
        return tuple(varied)

    def _write(self, bar: BarPlan, note: ThemeNote, step: int, tick: int, end: int) -> None:
        """Find the pitch of a note over its chord, with ornaments and, in tense bars, chromatic neighbours."""
        score, label, rng, lead = self._score, bar.label, self._score.rng, self._lead
        pitch = self._pitch(bar, note, step, tick)
        if label.tension > 0.55 and not note.is_answer and step % 4 and rng.random() < label.tension - 0.4:
            pitch = min(HIGHEST, max(LOWEST, pitch + rng.choice((-1, 1))))
        score.lead_pitch = pitch
        length = (end - tick) * lead.gate
        loudness = velocity(rng, label.energy, accent(step) * 0.6 + 0.5 - 0.4 * note.level)
        ornamental = lead.ornaments * (0.4 + bar.pitched_activity)
        if length >= 18 and tick >= 3 and rng.random() < ornamental:
            self._ornament(bar, tick, length, pitch, loudness)
        else:
            score.add(bar.index, tick, length, LEAD, pitch, loudness)

    def _pitch(self, bar: BarPlan, note: ThemeNote, step: int, tick: int) -> int:
        ladder = scale_ladder(self._score.key, self._lead.folk)
        centre = self._lead.register + 5 * bar.label.valence + 3 * bar.label.energy
        base = min(range(len(ladder)), key=lambda index: abs(ladder[index] - centre))
        octave = len(SCALES[self._score.key.scale]) if not self._lead.folk else 5
        place = base + note.degree - 3
        while place >= len(ladder):
            place -= octave
        pitch = ladder[max(0, place)]
        previous = self._score.lead_pitch
        while previous and pitch - previous > 12 and pitch - 12 >= LOWEST:
            pitch -= 12
        while previous and previous - pitch > 12 and pitch + 12 <= HIGHEST:
            pitch += 12
        tones = bar.chord_at(tick).pitch_classes
        if note.is_answer:
            return _nearest(pitch, tones[:1] + tones[2:3])
        return _nearest(pitch, tones) if step % 8 == 0 or note.hold_steps >= 6 and step % 4 == 0 else pitch

    def _ornament(self, bar: BarPlan, tick: int, length: float, pitch: int, loudness: int) -> None:
        """A grace note before, a turn after, or an octave leap within the note."""
        score = self._score
        ladder = scale_ladder(score.key, self._lead.folk)
        place = min(range(len(ladder)), key=lambda index: abs(ladder[index] - pitch))
        upper = ladder[min(place + 1, len(ladder) - 1)]
        lower = ladder[max(place - 1, 0)]
        kind = score.rng.choice(("grace", "grace", "turn", "octave" if self._lead.ornaments > 0.3 else "grace"))
        if tick + length > TICKS_PER_BAR:  # the next bar may have begun another phrase there
            kind = "grace"
        if kind == "grace":
            score.add(bar.index, tick, 3, LEAD, score.rng.choice((upper, lower)), max(20, loudness - 14))
            score.add(bar.index, tick + 3, length - 3, LEAD, pitch, loudness)
        elif kind == "turn":
            late = int(length) // 12 * 6
            score.add(bar.index, tick, late, LEAD, pitch, loudness)
            score.add(bar.index, tick + late, 3, LEAD, upper, max(20, loudness - 12))
            score.add(bar.index, tick + late + 3, length - late - 3, LEAD, pitch, max(20, loudness - 6))
        else:
            half = int(length) // 12 * 6
            leap = pitch + 12 if pitch + 12 <= HIGHEST else pitch - 12
            score.add(bar.index, tick, half, LEAD, pitch, loudness)
            score.add(bar.index, tick + half, length - half, LEAD, leap, max(20, loudness - 8))


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


def _nearest(pitch: int, pitch_classes: tuple[int, ...]) -> int:
    """The nearest pitch of the lead's range in one of the pitch classes."""
    around = (pitch + distance for size in range(12) for distance in (size, -size))
    return next(p for p in around if p % 12 in pitch_classes and LOWEST <= p <= HIGHEST)


def _draw_motif(rng: random.Random, lead: Lead, raised: int = 0) -> Motif:
    """Two bars of rhythm from the idiom's cells and a contour that rises to a peak and comes down."""
    cells = lead.cells.split()
    drawn = {letter: rng.choice(cells) for letter in "abcd"}
    if all(cell == "...." for cell in drawn.values()):
        drawn["a"] = cells[0]
    shape = rng.choice(_SHAPES)
    row = "".join(drawn.get(letter, "....") for letter in shape)
    onsets = [(step + bar * STEPS_PER_BAR, level) for bar, hits in enumerate(parse_row(row)) for step, level in hits]
    start, height, contour = raised + rng.choice((0, 1, 2, 4)), rng.choice((2, 3, 4, 5)), rng.choice(_CONTOURS)
    hold = lead.hold_ticks * 4 // TICKS_PER_BEAT
    notes: list[ThemeNote] = []
    for step, level in onsets:
        place = step / (2 * STEPS_PER_BAR) * (len(contour) - 1)
        before, share = int(place), place % 1
        line = contour[before] * (1 - share) + contour[before + 1] * share
        wander = rng.choices((-1, 0, 1, -3, 3), (3, 5, 3, 0.5, 0.7))[0]
        notes.append(ThemeNote(step, level, start + round(height * line) + wander, hold))
    return _enriched(rng, tuple(notes))


def _enriched(rng: random.Random, motif: Motif) -> Motif:
    """Notes that only busy bars have, halving the gaps between the others: neighbours and passing tones."""
    for gap, level in ((8, 0.5), (4, 0.62), (4, 0.75), (2, 0.88)):
        notes: list[ThemeNote] = []
        for note, following in itertools.pairwise((*motif, None)):
            notes.append(note)
            if following and following.step - note.step >= gap and rng.random() < 0.6:
                middle = (note.degree + following.degree) // 2
                degree = middle if middle != note.degree else note.degree + rng.choice((-1, 1))
                half = (following.step - note.step) // 4 * 2 or 1
                notes.append(ThemeNote(note.step + half, max(note.level, level + rng.uniform(0, 0.1)), degree, gap))
        motif = tuple(notes)
    return motif


def _shifted(motif: Motif, degrees: int) -> Motif:
    return tuple(replace(note, degree=note.degree + degrees) for note in motif)


def _inverted(motif: Motif) -> Motif:
    return tuple(replace(note, degree=2 * motif[0].degree - note.degree) for note in motif)


def _augmented(motif: Motif, half: int) -> Motif:
    """One of the two halves of the motif at half speed."""
    low = half * STEPS_PER_BAR
    return tuple(
        replace(note, step=2 * (note.step - low), hold_steps=2 * note.hold_steps)
        for note in motif
        if low <= note.step < low + STEPS_PER_BAR
    )


def _answer(rng: random.Random, motif: Motif) -> Motif:
    """The first bar of a motif, then a step or two down to a long closing note, then air."""
    kept = [note for note in motif if note.step < STEPS_PER_BAR]
    last = kept[-1].degree if kept else 2
    close = STEPS_PER_BAR + rng.choice((0, 0, 4, 8))
    if close > STEPS_PER_BAR:
        kept.append(ThemeNote(STEPS_PER_BAR, 0.1, last - 1 if last > 1 else last + 1, 6))
    return (*kept, ThemeNote(close, 0.0, rng.choice((0, 0, 2)), rng.choice((6, 8, 10)), is_answer=True))


def _ornamented(rng: random.Random, motif: Motif) -> Motif:
    """The same notes, with many of its busy ones already in quieter bars."""
    return tuple(replace(note, level=note.level * 0.6) if rng.random() < 0.6 else note for note in motif)
