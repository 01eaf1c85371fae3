"""Motifs and themes of a lead. In: an idiom's lead and a random source; out: notes in scale steps. Pure functions.

A motif is two bars of rhythm from the idiom's beat cells on a line that goes mostly by step along a contour. A theme is
four places of two bars, each the motif, its sequence, inversion, augmentation or fragments, a second motif, or an
open or closed ending: periods, sentences, calls and responses.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, replace

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.idioms import Lead
from engine.training.arranger.rhythm import STEPS_PER_BAR, parse_row

BARS_PER_THEME = 8
_PLACE_STEPS = 2 * STEPS_PER_BAR
_PLACES = 4
_CONTOURS = {  # heights at even distances over the two bars
    "arch": ((0.0, 0.5, 1.0, 0.6, 0.2), (0.2, 0.6, 1.0, 0.5, 0.0), (0.0, 0.3, 0.6, 1.0, 0.3)),
    "fall": ((1.0, 0.7, 0.6, 0.3, 0.0), (0.8, 1.0, 0.6, 0.4, 0.0), (1.0, 0.5, 0.8, 0.3, 0.0)),
    "rise": ((0.0, 0.3, 0.4, 0.7, 1.0), (0.2, 0.0, 0.4, 0.8, 1.0), (0.0, 0.4, 0.2, 0.6, 1.0)),
    "wave": ((0.3, 1.0, 0.3, 0.9, 0.0), (0.5, 0.0, 0.4, 1.0, 0.4), (0.6, 1.0, 0.3, 0.0, 0.4)),
    "level": ((0.0, 0.0, 0.6, 0.0, 0.0), (0.4, 0.4, 0.0, 0.4, 0.4), (0.0, 0.5, 0.0, 0.5, 0.0)),
}
_STEPS = ((-2, 0.4), (-1, 1.0), (0, 0.3), (1, 1.0), (2, 0.4))
_LEAP_CHANCE = 0.07
# Places of two bars: m motif, n second motif, s sequence, i inversion, g (with -) augmentation, f fragments,
# o open and a closed ending. moma is a period, msfa a sentence.
_SCHEMES = {
    "A": ("moma", "moma", "msfa", "mmsa", "mona", "mima", "mmna", "msoa"),
    "B": ("nona", "nsna", "nsfa", "g-na", "nnsa", "nmna", "nioa"),
    "intro": ("mo", "g-"),
    "break": ("g-", "mo", "na", "g-"),
    "outro": ("ma", "g-", "mo"),
}


@dataclass(frozen=True, slots=True)
class ThemeNote:
    step: int  # sixteenth from the start of its motif or theme
    level: float  # sounds where the activity is at least this
    degree: int  # steps of the ladder above the lead's register
    hold_steps: int  # longest length in sixteenths
    close: str = ""  # "open": to the chord's third or fifth; "closed": to its root
    figure: str = ""  # how it is ornamented where it is long enough
    chance: float = 0.5  # 0 … 1: the lower, the sooner it is ornamented, or chromatic in tense bars


Motif = tuple[ThemeNote, ...]
"""Two bars."""
Theme = tuple[ThemeNote, ...]
"""Eight bars."""


def draw_motifs(rng: random.Random, lead: Lead) -> dict[str, Motif]:
    """The motifs of a piece: m of its first theme, n of its second, x for answers that are new."""
    first = _draw_motif(rng, lead, 0)
    related = _with_rhythm_of(first, _draw_motif(rng, lead, 2)) if rng.random() < 0.4 else ()
    return {
        "m": first,
        "n": related or _draw_motif(rng, lead, rng.choice((1, 2, 3))),
        "x": _draw_motif(rng, lead, 0),
    }


def compose(rng: random.Random, motifs: dict[str, Motif], lead: Lead, section: str) -> Theme:
    """The theme of a section."""
    scheme = rng.choice(_SCHEMES[section])
    base = motifs["n" if "n" in scheme and "m" not in scheme else "m"]
    direction = 1 if rng.random() < 0.65 else -1
    shift = 0
    places: list[Motif] = []
    for index, letter in enumerate(scheme):
        if letter in "mn":
            places.append(motifs[letter])
        elif letter == "s":
            shift += direction * rng.choice((1, 1, 2))
            places.append(_shifted(base, shift))
        elif letter == "i":
            places.append(_inverted(base))
        elif letter in "g-":
            places.append(_augmented(base, "g-".index(letter)))
        elif letter == "f":
            places.append(_fragmented(base, shift + direction))
        elif letter in "oa":
            is_silent = letter == "o" and rng.random() < lead.rests
            places.append(() if is_silent else _ending(rng, base, "open" if letter == "o" else "closed"))
        else:
            raise AssertionError(letter)
        if letter in "mnsi" and index % 2 == 1 and index < len(scheme) - 1:
            places[-1] = _led_on(rng, places[-1])
    return _join(places * (_PLACES // len(places)))


def vary(rng: random.Random, theme: Theme, change: str, motifs: dict[str, Motif], lead: Lead) -> Theme:
    """The theme changed in one of the ways of plan.CHANGES; what concerns other layers leaves it as it is."""
    if change == "ornamented":
        return tuple(
            replace(note, level=note.level * 0.6, chance=note.chance * 0.7) if rng.random() < 0.6 else note
            for note in theme
        )
    if change == "octave":
        octave, room = (5, 8) if lead.folk else (7, 11)
        has_room = max((note.degree for note in theme), default=0) + octave <= room
        return _shifted(theme, octave if has_room else -octave // 2)
    if change == "answer":
        close = _ending(rng, motifs["x"], "closed")
        last = 3 * _PLACE_STEPS
        return (
            *(note for note in theme if note.step < last),
            *(replace(note, step=note.step + last) for note in close),
        )
    return theme


# --- motifs ----------------------------------------------------------------------------------------------------------


def _draw_motif(rng: random.Random, lead: Lead, raised: int) -> Motif:
    """Two bars of rhythm from the idiom's cells, and a line by step along a contour."""
    cells = lead.cells.split()
    drawn = {letter: rng.choice(cells) for letter in "abcd"}
    if all(cell == "...." for cell in drawn.values()):
        drawn["a"] = cells[0]
    row = "".join(drawn.get(letter, "....") for letter in rng.choice(lead.shapes.split()))
    onsets = [(step + bar * STEPS_PER_BAR, level) for bar, hits in enumerate(parse_row(row)) for step, level in hits]
    contour = rng.choice(_CONTOURS[rng.choice(lead.contours.split())])
    degrees = _draw_line(rng, [step for step, _ in onsets], contour, rng.uniform(*lead.height))
    middle = (min(degrees, default=0) + max(degrees, default=0)) // 2
    start = raised - middle + rng.choice((-1, 0, 1))
    hold = lead.hold_ticks * 4 // TICKS_PER_BEAT
    motif = tuple(
        ThemeNote(step, level, start + degree, hold) for (step, level), degree in zip(onsets, degrees, strict=True)
    )
    return _ornamented(rng, _enriched(rng, motif), lead)


def _draw_line(rng: random.Random, steps: list[int], contour: tuple[float, ...], height: float) -> list[int]:
    """Degrees of the notes at `steps`: drawn to the contour, by step; after a leap one step back."""
    degrees: list[int] = []
    last_move = 0
    for step in steps:
        place = step / _PLACE_STEPS * (len(contour) - 1)
        before, share = int(place), place % 1
        target = height * (contour[before] * (1 - share) + contour[before + 1] * share)
        if not degrees:
            degrees.append(round(target))
            continue
        gap = target - degrees[-1]
        if abs(last_move) > 2:
            move = -1 if last_move > 0 else 1
        elif rng.random() < _LEAP_CHANCE:
            move = rng.choice((3, 4)) * (1 if gap > 0 else -1)
        else:
            weights = [weight * math.exp(-((move - gap) ** 2) / 3) + 1e-3 for move, weight in _STEPS]
            move = rng.choices([move for move, _ in _STEPS], weights)[0]
        last_move = move
        degrees.append(degrees[-1] + move)
    return degrees


def _enriched(rng: random.Random, motif: Motif) -> Motif:
    """Notes that only busy bars have, halving the gaps between the others: neighbours and passing tones."""
    for gap, level in ((8, 0.55), (4, 0.7), (2, 0.9)):
        notes: list[ThemeNote] = []
        for note, following in itertools.pairwise((*motif, None)):
            notes.append(note)
            if following and gap <= following.step - note.step <= 2 * gap and rng.random() < 0.5:
                middle = (note.degree + following.degree) // 2
                degree = middle if middle != note.degree else note.degree + rng.choice((-1, 1))
                half = (following.step - note.step) // 4 * 2 or 1
                notes.append(ThemeNote(note.step + half, max(note.level, level + rng.uniform(0, 0.1)), degree, gap))
        motif = tuple(notes)
    return motif


def _ornamented(rng: random.Random, motif: Motif, lead: Lead) -> Motif:
    figures = lead.figures.split()
    return tuple(
        replace(note, figure=rng.choice(figures) if rng.random() < lead.ornaments else "", chance=rng.random())
        for note in motif
    )


# --- development -----------------------------------------------------------------------------------------------------


def _join(places: list[Motif]) -> Theme:
    return tuple(
        replace(note, step=note.step + index * _PLACE_STEPS) for index, motif in enumerate(places) for note in motif
    )


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


def _fragmented(motif: Motif, shift: int) -> Motif:
    """The motif's first bar twice, a step further the second time."""
    head = [note for note in motif if note.step < STEPS_PER_BAR]
    again = [replace(note, step=note.step + STEPS_PER_BAR, degree=note.degree + 1) for note in head]
    return _shifted((*head, *again), shift)


def _led_on(rng: random.Random, motif: Motif) -> Motif:
    """The motif with other last notes, so that it leads on."""
    turn = rng.choice((-2, -1, 1, 2))
    return tuple(replace(note, degree=note.degree + turn) if note.step >= 20 else note for note in motif)


def _ending(rng: random.Random, motif: Motif, close: str) -> Motif:
    """The first bar of a motif, then a step or two to a long closing note, then air."""
    kept = [note for note in motif if note.step < STEPS_PER_BAR]
    last = kept[-1].degree if kept else 1
    beat = rng.choice((0, 0, 4, 8))
    goal = rng.choice((-1, 0, 0)) if close == "closed" else last + rng.choice((-1, 1, 2))
    goal = max(last - 4, min(last + 3, goal))
    if beat:  # two steps on the way
        middle = (last + goal) // 2
        kept.append(ThemeNote(STEPS_PER_BAR, 0.1, middle if middle != last else last + 1, 4))
        if beat == 8:
            kept.append(ThemeNote(STEPS_PER_BAR + 4, 0.35, goal + (1 if middle > goal else -1), 4))
    return (*kept, ThemeNote(STEPS_PER_BAR + beat, 0.0, goal, rng.choice((5, 6, 8)), close=close))


def _with_rhythm_of(motif: Motif, line: Motif) -> Motif:
    """The rhythm of `motif` on the degrees of `line`."""
    if not line:
        return motif
    return tuple(replace(note, degree=line[index % len(line)].degree) for index, note in enumerate(motif))
