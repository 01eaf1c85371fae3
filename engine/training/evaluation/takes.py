"""The music that is judged. In: a composer, the arranger, the clean data sets; out: pieces by style. Offline.

The model composes without sound, always in batches of `MAX_SLOTS`; a take does not depend on its company. A seed is
one station. Remembers nothing; one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats.qmc import LatinHypercube

from engine.config import ModelConfig
from engine.notes import TICKS_PER_BEAT
from engine.score.composer import ComposedBeat, Composer, num_rows
from engine.score.piece import CHORD, Bar, Piece
from engine.score.sampling import pack_heads
from engine.score.trunk import CpuTrunk
from engine.training.arranger import arrange
from engine.training.corpora import read_corpora
from engine.training.dataset import is_held_out
from engine.training.figures import excerpt
from moods.clock import FRAMES_PER_SECOND
from moods.control import End
from moods.controller import Controller
from moods.ending import SHORTEST_RING_SECONDS
from moods.errors import UnknownStyle
from moods.fields import Seconds
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, STYLES, Intent
from moods.mood import Mood, find_mood, find_style, style_weights

TAKE_BARS = 32
NUM_LEVELS = 21
"""Of a sweep: twenty steps."""
MAX_SLOTS = 16
GAME_SETS = ("freedoom", "easyrpg-rtp", "blasphemer")
FRESH_SEED = 1_000_000
"""The arranger's pieces from this seed on are in nobody's training."""
_SEEDS_A_STYLE = 1000
"""Between the first seeds of two styles: key and form follow from the seed, and should not be the same in all."""
SWEPT: dict[str, tuple[float, float]] = {
    "valence": (-1.0, 1.0),
    "energy": (0.0, 1.0),
    "tension": (0.0, 1.0),
    "density": (0.0, 1.0),
    "bpm": (50.0, 200.0),
    "temperature": (0.1, 2.0),
}
"""Controls that change notes, each with the range over which it is swept."""
SWEEP_BARS = dict.fromkeys(SWEPT, BARS_PER_PHRASE) | dict.fromkeys(("density", "bpm", "temperature"), 2)
"""Bars at each level: harmony needs a phrase to be told, notes a beat do not."""
_PHRASE_BEATS, _PHRASES_TO_SEARCH = BARS_PER_PHRASE * BEATS_PER_BAR, 32
_MOOD_RANGES = {name: SWEPT[name] for name in ("valence", "energy", "tension")}
_TUNE_RANGES = {"valence": (-0.8, 0.8), "energy": (0.25, 0.9), "tension": (0.0, 0.4)}
"""Where a tune is to be heard: not where all is still, nor where it is to be torn."""
# Where the other controls stand while one is swept, and in long takes: every style plays all its layers but a rare
# one, and tension keeps notes in the scale.
_MIDDLE = {"valence": 0.2, "energy": 0.6, "tension": 0.2}

Report = Callable[[str], None]
ByStyle = dict[str, list[Piece]]


@dataclass
class LongTakes:
    """The middle mood for many minutes, a seed each."""

    pieces: list[Piece]
    resets: list[int]  # of the watchdog, in each piece


# --- composing -------------------------------------------------------------------------------------------------------


class _From(Controller):
    """A course that is joined at a later beat."""

    first_beat = 0

    def beat_intent(self, beat: int) -> Intent:
        return super().beat_intent(beat + self.first_beat)


def make_composer(sizes: ModelConfig, tensors: dict[str, Any], max_slots: int = MAX_SLOTS) -> Composer:
    """A composer of `max_slots` rows on the CPU, the device of reference."""
    return Composer(CpuTrunk(tensors, sizes, num_rows(max_slots)), pack_heads(tensors), max_slots)


def compose(
    composer: Composer, controllers: Sequence[Controller], num_bars: int, look: Callable[[int], object] | None = None
) -> list[Piece]:
    """One take of `num_bars` bars for each of up to `MAX_SLOTS` controllers; `look(slot)` is called at the end of each,
    while the composer still has it."""
    slots = range(len(controllers))
    for slot, controller in zip(slots, controllers, strict=True):
        composer.open(slot, controller)
    beats: list[list[ComposedBeat]] = [[] for _ in slots]
    for _ in range(num_bars * BEATS_PER_BAR):
        composer.prepare(slots)
        for slot in slots:
            beats[slot].append(composer.take(slot))
    for slot in slots:
        if look is not None:
            look(slot)
        composer.close(slot)
    return [to_piece(controller, taken) for controller, taken in zip(controllers, beats, strict=True)]


def compose_all(
    composer: Composer, controllers: Sequence[Controller], num_bars: int, look: Callable[[int], object] | None = None
) -> Iterator[Piece]:
    """Takes of any number of controllers, batch after batch."""
    for first in range(0, len(controllers), MAX_SLOTS):
        yield from compose(composer, controllers[first : first + MAX_SLOTS], num_bars, look)


def to_piece(controller: Controller, beats: Sequence[ComposedBeat]) -> Piece:
    """A take as a piece; its labels are what was asked at each bar's first beat."""
    notes = np.concatenate([beat.notes for beat in beats])
    notes["tick"] += np.repeat([beat.index * TICKS_PER_BEAT for beat in beats], [len(beat.notes) for beat in beats])
    chords: list[tuple[int, int, int]] = []
    for beat in beats:
        chord = (beat.chord_root, beat.chord_quality)
        if beat.chord_root >= 0 and (not chords or chords[-1][1:] != chord):
            chords.append((beat.index * TICKS_PER_BEAT, *chord))
    asked = [controller.beat_intent(beat.index) for beat in beats[::BEATS_PER_BAR]]
    bars = [
        Bar(
            valence=intent.valence,
            energy=intent.energy,
            tension=intent.tension,
            density=intent.density,
            style=np.array(intent.style, np.float32),
            section=intent.section,
            bar_in_section=intent.bar_in_section,
            beats_to_end=intent.beats_to_end,
        )
        for intent in asked
    ]
    return Piece(notes, np.array(chords, CHORD), bars, asked[0].key, asked[0].bpm, f"model/{controller.seed}")


# --- what the model is asked -----------------------------------------------------------------------------------------


def _mood(style: str, **fields: float | None) -> Mood:
    return Mood(style, style, style=style_weights(style), **{**_MIDDLE, **fields})


def take_controllers(style: str, num_seeds: int, temperature: float | None) -> list[Controller]:
    """Steady moods that cover the ranges of all controls (a Latin hypercube), each with a seed of its own.

    Each is to end with a cadence whose last chord falls on the first beat of bar `TAKE_BARS`.
    """
    number = STYLES.index(style)
    controllers = []
    for seed, place in enumerate(LatinHypercube(len(_MOOD_RANGES), rng=number).random(num_seeds)):
        spans = zip(_MOOD_RANGES.items(), place, strict=True)
        levels = {name: low + (high - low) * p for (name, (low, high)), p in spans}
        controller = Controller(_mood(style, temperature=temperature, **levels), _SEEDS_A_STYLE * number + seed)
        last_frame = controller.frame_of_beat((TAKE_BARS - 1) * BEATS_PER_BAR)
        seconds = (last_frame + 1) / FRAMES_PER_SECOND + SHORTEST_RING_SECONDS
        controller.apply(End(how="cadence", at=Seconds(seconds=seconds)), 0)
        controllers.append(controller)
    return controllers


def tune_controllers(name: str, num_seeds: int, temperature: float | None) -> list[Controller]:
    """Endless courses in which a tune is to be heard, under different seeds.

    Of a style steady moods spread over `_TUNE_RANGES`, of a preset the mood itself. Raises `UnknownMood`.
    """
    try:
        style = find_style(name)
    except UnknownStyle:
        mood = replace(find_mood(name), temperature=temperature)
        return [Controller(mood, seed) for seed in range(num_seeds)]
    number, (low, high) = STYLES.index(style), np.array(list(_TUNE_RANGES.values())).T
    places = low + (high - low) * LatinHypercube(len(low), rng=number).random(num_seeds)
    return [
        Controller(
            _mood(style, temperature=temperature, **dict(zip(_TUNE_RANGES, place.tolist(), strict=True))),
            _SEEDS_A_STYLE * number + seed,
        )
        for seed, place in enumerate(places)
    ]


def compose_seconds(composer: Composer, controllers: Sequence[Controller], seconds: float) -> list[Piece]:
    """Takes of at least `seconds`, in bars, of any number of controllers.

    Together the slowest would be composed on for as long as the fastest: those of like tempo go together.
    """
    asked = [_num_bars(controller, seconds) for controller in controllers]
    found: dict[int, Piece] = {}
    order = sorted(range(len(controllers)), key=lambda index: asked[index])
    for first in range(0, len(order), MAX_SLOTS):
        batch = order[first : first + MAX_SLOTS]
        pieces = compose(composer, [controllers[index] for index in batch], max(asked[index] for index in batch))
        found |= {index: excerpt(piece, 0, asked[index]) for index, piece in zip(batch, pieces, strict=True)}
    return [found[index] for index in range(len(controllers))]


def _num_bars(controller: Controller, seconds: float) -> int:
    return int(np.ceil(seconds / 60 * controller.beat_intent(0).bpm / BEATS_PER_BAR))


def long_controllers(style: str, num_seeds: int, temperature: float | None) -> list[Controller]:
    """The same middle mood under different seeds, endless."""
    first = _SEEDS_A_STYLE * STYLES.index(style)
    return [Controller(_mood(style, temperature=temperature), first + seed) for seed in range(num_seeds)]


def first_full_phrase(style: str, seed: int) -> int:
    """The first beat of the first phrase that lets in every layer the style has at full energy."""
    course = Controller(_mood(style, energy=1.0), seed)
    beats = range(0, _PHRASES_TO_SEARCH * _PHRASE_BEATS, _PHRASE_BEATS)

    def layers(beat: int) -> int:
        return min(sum(course.beat_intent(beat + i).active_layers) for i in range(0, _PHRASE_BEATS, BEATS_PER_BAR))

    return max(beats, key=lambda beat: (layers(beat), -beat))


def sweep_controllers(
    control: str, style: str, seed: int, temperature: float | None, num_levels: int = NUM_LEVELS
) -> list[Controller]:
    """Steady courses of one seed for each of `num_levels` levels of `control`, joined at a full phrase."""
    number = _SEEDS_A_STYLE * STYLES.index(style) + seed
    first_beat = first_full_phrase(style, number)
    controllers = []
    for level in np.linspace(*SWEPT[control], num_levels).tolist():
        controller = _From(_mood(style, **({"temperature": temperature} | {control: level})), number)
        controller.first_beat = first_beat
        controllers.append(controller)
    return controllers


def num_long_bars(style: str, seconds: float) -> int:
    """Bars of the long takes' mood that last at least `seconds`."""
    return _num_bars(Controller(_mood(style)), seconds)


def seconds_of(piece: Piece) -> float:
    return len(piece.bars) * BEATS_PER_BAR * 60 / piece.bpm


def first_seconds(piece: Piece, seconds: float) -> Piece:
    """The piece's first bars that last at least `seconds`."""
    return excerpt(piece, 0, min(len(piece.bars), int(np.ceil(seconds / 60 * piece.bpm / BEATS_PER_BAR))))


# --- the other composers ---------------------------------------------------------------------------------------------


def arranged(style: str, count: int, first_seed: int = FRESH_SEED, num_bars: int = TAKE_BARS) -> list[Piece]:
    """Practice pieces by the teacher that were in no training."""
    return [arrange(style, seed, num_bars=num_bars) for seed in range(first_seed, first_seed + count)]


def real_pieces(data: Path, report: Report, names: Sequence[str] | None = None) -> Iterator[Piece]:
    """All pieces of the clean sets, or of those named, that have harmony. Raises `NoCorpora`."""
    return (piece for piece in read_corpora(data, names=names, report=report) if all(piece.layers_known))


def strongest_style(piece: Piece) -> str:
    return STYLES[int(np.argmax(piece.bars[0].style))]


def held_out_column(pieces: Sequence[Piece], styles: Sequence[str]) -> ByStyle:
    """Held-out pieces, their first bars, under their strongest style.

    Their mood labels are measured from their notes, so nothing was asked of them.
    """
    takes: ByStyle = {style: [] for style in styles}
    for piece in pieces:
        if is_held_out(piece.source) and strongest_style(piece) in takes:
            takes[strongest_style(piece)].append(excerpt(piece, 0, min(TAKE_BARS, len(piece.bars))))
    return {style: found for style, found in takes.items() if found}


def game_tracks(pieces: Sequence[Piece]) -> list[Piece]:
    """Whole tracks of game music: what one file was cut into, put together again, in the key of its first piece."""
    parts: dict[str, list[Piece]] = {}
    for piece in pieces:
        if piece.source.split("/")[0] in GAME_SETS:
            parts.setdefault(piece.source.split("#")[0], []).append(piece)
    return [_joined(found) for found in parts.values()]


def _joined(parts: Sequence[Piece]) -> Piece:
    notes, chords, bars = [], [], []
    for part in parts:
        for rows, found in ((part.notes, notes), (part.chords, chords)):
            shifted = rows.copy()
            shifted["tick"] += len(bars) * BEATS_PER_BAR * TICKS_PER_BEAT
            found.append(shifted)
        bars += part.bars
    return replace(parts[0], notes=np.concatenate(notes), chords=np.concatenate(chords), bars=bars)
