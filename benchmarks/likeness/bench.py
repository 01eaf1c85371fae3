"""All that is judged, made when it is first asked for. In: options; out: what was heard. Remembers it in a folder.

Whatever was made from other sources is made anew: a patch costs its rendering only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.harness import ROOT
from benchmarks.likeness import references, renditions
from benchmarks.likeness.hearing import Heard, hear, hear_moments
from engine.score.piece import Piece
from engine.training.evaluation.cache import Cache, digest_of

FAMILIES = {
    "orchestral": ("orchestral", "cinematic", "suspense"),
    "electronic": ("synthwave", "house", "ambient"),
    "chip": ("chiptune",),
    "acoustic": ("acoustic", "jazz", "upbeat"),
}
_HERE = "benchmarks/likeness"
_NOTES = ("moods", "engine/score", "engine/config.py", "engine/checkpoints", "engine/training/evaluation/takes.py")
_HEARING = (f"{_HERE}/hearing.py", f"{_HERE}/ears.py")
_OFFLINE = {"__main__.py", "audition.py", "metering.py", "pictures.py"}
_OURS = (
    "engine/synth/patches",
    *(f"engine/synth/{file.name}" for file in (ROOT / "engine/synth").glob("*.py") if file.name not in _OFFLINE),
)


class Bench:
    """Everything that was composed, played and heard, made when it is first asked for."""

    def __init__(self, folder: Path, num_takes: int, console: Console) -> None:
        self._cache, self._references = Cache(folder / "heard"), folder / "references"
        self.num_takes, self.console = num_takes, console

    def _takes(self, style: str, count: int) -> list[Piece]:
        digest = digest_of(_NOTES, count)
        return self._cache.get(f"takes-{style}-{count}", digest, lambda: renditions.compose(style, count))

    def reference(self, family: str) -> list[Heard]:
        """A family's human-made tracks."""
        digest = digest_of((*_HEARING, f"{_HERE}/references.py"))
        found = []
        for package, name in track(references.track_names()[family], f"{family}: references", console=self.console):
            file = references.find(self._references, package, name)
            found.append(self._cache.get(
                f"reference-{package}-{name}", digest, lambda file=file: hear(references.track_excerpts(file))
            ))  # fmt: skip
        return found

    def renditions(self, family: str) -> tuple[list[Heard], list[Heard]]:
        """The same takes, by our synth and by the bank, in the same order."""
        ours, theirs = [], []
        styles = FAMILIES[family]
        count = -(-self.num_takes // len(styles))
        for style in track(styles, f"{family}: {count} takes a style", console=self.console):
            for seed, piece in enumerate(self._takes(style, count)):
                one = self._heard("ours", style, seed, count, piece, lambda p, k, s=style: renditions.play_ours(p, k))
                other = self._heard(
                    "bank", style, seed, count, piece, lambda p, k, s=style: renditions.play_bank(p, s, k)
                )
                if one is not None and other is not None:
                    ours.append(one)
                    theirs.append(other)
        return ours, theirs

    def _heard(
        self, player: str, style: str, seed: int, count: int, piece: Piece, play: Callable[[Piece, int], Any]
    ) -> Heard | None:
        """None where no excerpt has sound."""

        def make() -> Heard | None:
            found = renditions.excerpts(play(piece, seed), renditions.excerpt_starts(piece))
            heard = [sound for sound in found if renditions.is_audible(sound)]
            return hear(heard) if heard else None

        sources = (*_HEARING, *_NOTES, f"{_HERE}/renditions.py", *(_OURS if player == "ours" else ()))
        return self._cache.get(f"{player}-{style}-{seed}-of-{count}", digest_of(sources), make)

    def moments(self, style: str, num_takes: int) -> list[dict[str, Any]]:
        """Embeddings of two-second moments of each of a style's takes by our synth, by ear."""
        digest = digest_of((*_HEARING, *_NOTES, f"{_HERE}/renditions.py", *_OURS), num_takes)

        def make() -> list[dict[str, Any]]:
            pieces = self._takes(style, num_takes)
            return [hear_moments(renditions.play_ours(piece, seed)) for seed, piece in enumerate(pieces)]

        return self._cache.get(f"moments-{style}-{num_takes}", digest, make)
