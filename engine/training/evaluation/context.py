"""What is judged and how much of it, made when it is first asked for. In: options; out: pieces, sounds, a listener.

Remembers all it has made, in memory and in a `Cache`; one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from engine.config import ModelConfig
from engine.score.composer import Composer
from engine.score.piece import Piece
from engine.training.dataset import is_held_out, practice_pieces
from engine.training.evaluation import acoustics, listening, originality, takes
from engine.training.evaluation.cache import Cache, digest_of
from engine.training.evaluation.form import WINDOW_BARS
from engine.training.evaluation.obedience import MEASURES, Sweep, fill_gaps
from engine.training.evaluation.sound import Player
from engine.training.evaluation.style import StyleListener
from engine.training.evaluation.takes import ByStyle, LongTakes
from moods.intent import STYLES

TUNE_SECONDS, LONG_SECONDS, HOUR_SECONDS = 180.0, 600.0, 3600.0
_HERE = "engine/training/evaluation"
_MODEL_SOURCES = ("moods", "engine/score", "engine/config.py", f"{_HERE}/takes.py")
_ARRANGER_SOURCES = ("moods", "engine/notes.py", "engine/score/piece.py", "engine/training/arranger")
_CORPUS_SOURCES = tuple(f"engine/training/{name}.py" for name in ("corpora", "labels", "midi_reader", "dataset"))
_SOUND_SOURCES = ("engine/synth", *(f"{_HERE}/{name}.py" for name in ("sound", "listening", "parts")))
_EXAMPLES_A_STYLE = 40
_LOUDNESS = "loudness"
_FEWEST_TO_FOLLOW = 12
"""Pieces of a style from which a rank correlation within it says something."""


@dataclass(frozen=True)
class Scope:
    """What is to be judged."""

    styles: tuple[str, ...]
    num_seeds: int  # a style
    temperature: float | None  # None: as the mood decides
    data: Path | None  # the clean data sets
    num_practice: int  # arranger's pieces the model was taught by


class Context:
    """The model, its teacher and real music, as the parts of the evaluation need them."""

    def __init__(
        self, scope: Scope, sizes: ModelConfig, tensors: dict[str, Any], sha256: str, cache: Cache, console: Console
    ) -> None:
        self.scope, self.sizes, self.tensors, self.console = scope, sizes, tensors, console
        self._cache = cache
        self._words = (sha256, scope.num_seeds, scope.temperature)

    def _model(self, name: str, style: str, make: Callable[[], Any], *sources: str) -> Any:
        """What the model made in one style, from the cache or anew."""
        digest = digest_of((*_MODEL_SOURCES, *sources), *self._words, LONG_SECONDS, HOUR_SECONDS)
        return self._cache.get(f"{name}-{style}", digest, make)

    def _each_style(self, description: str) -> Iterator[str]:
        return iter(track(self.scope.styles, description, console=self.console))

    @cached_property
    def composer(self) -> Composer:
        return takes.make_composer(self.sizes, self.tensors)

    @cached_property
    def player(self) -> Player:
        return Player()

    @cached_property
    def takes(self) -> ByStyle:
        """32 bars of moods all over their ranges, each with an ending."""

        def make(style: str) -> list[Piece]:
            controllers = takes.take_controllers(style, self.scope.num_seeds, self.scope.temperature)
            return list(takes.compose_all(self.composer, controllers, takes.TAKE_BARS))

        return {s: self._model("takes", s, lambda s=s: make(s)) for s in self._each_style("composing takes")}

    @cached_property
    def long(self) -> dict[str, LongTakes]:
        """Ten minutes or more of one mood under different seeds: an hour of every style."""
        seconds = max(LONG_SECONDS, HOUR_SECONDS / self.scope.num_seeds)

        def make(style: str) -> LongTakes:
            num_bars = takes.num_long_bars(style, seconds)
            controllers = takes.long_controllers(style, self.scope.num_seeds, self.scope.temperature)
            resets: list[int] = []
            pieces = takes.compose_all(
                self.composer, controllers, num_bars, lambda slot: resets.append(self.composer.resets(slot))
            )
            return LongTakes(list(pieces), resets)

        return {s: self._model("long", s, lambda s=s: make(s)) for s in self._each_style("composing hours")}

    @cached_property
    def tunes(self) -> ByStyle:
        """Takes of some minutes in moods in which a tune is to be heard."""

        def make(style: str) -> list[Piece]:
            controllers = takes.tune_controllers(style, self.scope.num_seeds, self.scope.temperature)
            return takes.compose_seconds(self.composer, controllers, TUNE_SECONDS)

        return {s: self._model("tunes", s, lambda s=s: make(s)) for s in self._each_style("composing tunes")}

    def felt(
        self, control: str, styles: Sequence[str], num_seeds: int, num_levels: int, num_bars: int
    ) -> dict[str, Sweep]:
        """By style, what is read from the sound of every seed at every level of `control`: [seeds, levels]."""

        def make(style: str) -> Sweep:
            heard = []
            for seed in range(num_seeds):
                controllers = takes.sweep_controllers(control, style, seed, self.scope.temperature, num_levels)
                for piece in takes.compose_all(self.composer, controllers, num_bars):
                    heard.append(acoustics.measure(listening.to_mono(self.player.play(piece, seed)[0])))
            return acoustics.read(heard, control).reshape(num_seeds, num_levels)

        sources = (*_SOUND_SOURCES, f"{_HERE}/acoustics.py")
        return {
            style: self._model(f"felt-{control}", style, lambda s=style: make(s), *sources)
            for style in track(styles, f"hearing {control}", console=self.console)
        }

    @cached_property
    def sweeps(self) -> dict[str, dict[str, Sweep]]:
        """By measure and style: [seeds, levels]. `loudness` is that of the energy sweep, in LUFS before the master."""
        sources = (*_SOUND_SOURCES, f"{_HERE}/obedience.py", "engine/training/figures.py")
        found = {
            s: self._model("sweeps", s, lambda s=s: self._sweep_style(s), *sources)
            for s in self._each_style("sweeping controls")
        }
        return {name: {s: rows[name] for s, rows in found.items()} for name in next(iter(found.values()))}

    def _sweep_style(self, style: str) -> dict[str, Sweep]:
        rows: dict[str, list[np.ndarray]] = {measure.control: [] for measure in MEASURES} | {_LOUDNESS: []}
        for measure in MEASURES:
            for seed in range(self.scope.num_seeds):
                controllers = takes.sweep_controllers(measure.control, style, seed, self.scope.temperature)
                pieces = list(takes.compose_all(self.composer, controllers, takes.SWEEP_BARS[measure.control]))
                rows[measure.control].append(fill_gaps(np.array([measure.of(piece) for piece in pieces])))
                if measure.control == "energy":
                    rows[_LOUDNESS].append(np.array([self.player.play(piece, seed)[1] for piece in pieces]))
        return {name: np.array(values) for name, values in rows.items()}

    def listen(self, name: str, style: str, hear: Callable[[], Any]) -> Any:
        """What was heard in the model's sound."""
        return self._model(f"heard-{name}", style, hear, *_SOUND_SOURCES)

    def listen_to_teacher(self, name: str, style: str, hear: Callable[[], Any]) -> Any:
        """What was heard in the arranger's sound."""
        digest = digest_of((*_ARRANGER_SOURCES, *_SOUND_SOURCES), self.scope.num_seeds)
        return self._cache.get(f"taught-{name}-{style}", digest, hear)

    @cached_property
    def teacher_sweeps(self) -> ByStyle:
        """The arranger's pieces from whose parts it is told whether its labels are heard."""
        count = max(_FEWEST_TO_FOLLOW, self.scope.num_seeds)
        return {style: takes.arranged(style, count) for style in self.scope.styles}

    # --- the arranger and real music -----------------------------------------------------------------------------

    @cached_property
    def arranged(self) -> ByStyle:
        """Practice pieces that were in no training, as many as the model's takes."""
        return {style: takes.arranged(style, self.scope.num_seeds) for style in self.scope.styles}

    @cached_property
    def arranged_long(self) -> ByStyle:
        """The same, as long as a window of form."""
        count, num_bars = self.scope.num_seeds, WINDOW_BARS
        return {style: takes.arranged(style, count, num_bars=num_bars) for style in self.scope.styles}

    @cached_property
    def _real(self) -> tuple[list[Piece], list[Piece], originality.Codes]:
        """Held-out pieces, tracks of game music, lines of what was learnt; all empty without data."""
        data = self.scope.data
        if data is None:
            return [], [], np.zeros(0, np.uint32)

        def make() -> tuple[list[Piece], list[Piece], originality.Codes]:
            pieces = list(takes.real_pieces(data, self.console.print))
            held_out = [piece for piece in pieces if is_held_out(piece.source)]
            learnt = originality.index_lines(piece for piece in pieces if not is_held_out(piece.source))
            return held_out, takes.game_tracks(pieces), learnt

        sources = (*_CORPUS_SOURCES, f"{_HERE}/takes.py", f"{_HERE}/originality.py")
        return self._cache.get("real", digest_of(sources, str(data.resolve())), make)

    @property
    def held_out(self) -> ByStyle:
        return takes.held_out_column(self._real[0], self.scope.styles)

    @property
    def game(self) -> list[Piece]:
        """Whole tracks of real game music."""
        return self._real[1]

    @cached_property
    def learnt_lines(self) -> originality.Codes:
        """Melodic lines of all training pieces, the arranger's and the real ones."""

        def make() -> originality.Codes:
            count = self.scope.num_practice
            pieces = track(practice_pieces(count), "lines that were learnt", total=count, console=self.console)
            return originality.index_lines(pieces)

        sources = (*_ARRANGER_SOURCES, "engine/training/dataset.py", f"{_HERE}/originality.py")
        practised = self._cache.get("lines", digest_of(sources, self.scope.num_practice), make)
        return np.concatenate((practised, self._real[2]))

    @cached_property
    def style_listener(self) -> StyleListener:
        first = takes.FRESH_SEED + _EXAMPLES_A_STYLE
        arranged = {style: takes.arranged(style, _EXAMPLES_A_STYLE, first) for style in STYLES}
        return StyleListener(arranged, self._real[0])

    def columns(self) -> dict[str, ByStyle]:
        """Takes of the model, pieces of the arranger, and what is real where there is data."""
        columns = {"model": self.takes, "arranger": self.arranged}
        return columns | ({"real": self.held_out} if self.scope.data else {})


def flat(pieces: ByStyle | dict[str, Sequence[Piece]]) -> list[Piece]:
    return [piece for found in pieces.values() for piece in found]
