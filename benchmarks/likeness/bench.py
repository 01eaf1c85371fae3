"""All that is judged, made when it is first asked for. In: options; out: what was heard. Remembers it in two folders.

What was made from other sources is made anew: a patch costs its rendering only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from benchmarks.harness import ROOT
from benchmarks.likeness import references, renditions, takes
from benchmarks.likeness.hearing import CLIP_S, Heard, hear, is_audible
from benchmarks.likeness.takes import Take
from engine.audio import SAMPLE_RATE
from engine.training.evaluation.cache import Cache, digest_of

FAMILIES = {
    "orchestral": ("orchestral", "cinematic", "suspense"),
    "electronic": ("synthwave", "house", "ambient", "hiphop"),
    "chip": ("chiptune",),
    "light": ("acoustic", "jazz", "upbeat", "lofi", "guofeng"),
}
QUICK_TAKES, QUICK_RECORDINGS = 2, 24
"""A style's, and a family's, for tuning."""
CLIP_FROM_S = 24
"""By then the introduction is over."""
_HERE = "benchmarks/likeness"
_HEARING = (f"{_HERE}/hearing.py", f"{_HERE}/ears.py")
_NOTES = ("moods", "engine/score", "engine/checkpoints", "engine/score_generator.py", f"{_HERE}/takes.py")
_BANK = (f"{_HERE}/renditions.py", f"{_HERE}/bank.py")
_SYNTH = tuple(
    str(place.relative_to(ROOT))
    for place in sorted((ROOT / "engine/synth").iterdir())
    if place.name not in ("listening", "__main__.py", "__pycache__")
)

Float = npt.NDArray[np.float32]


class Bench:
    """Everything that was composed, played and heard, made when it is first asked for.

    `recordings` is a folder that others may share: the references, the bank, and what was heard of the references.
    `folder` is of one working tree: its takes, and what was heard of them. Tables of progress go to `console`.
    """

    def __init__(self, folder: Path, recordings: Path, console: Console) -> None:
        self._ours, self._theirs = Cache(folder / "heard"), Cache(recordings / "heard")
        self._recordings, self.console = recordings, console

    def references(self, family: str, split: str, most: int | None = None) -> list[Heard]:
        """A family's human-made tracks of one of references.SPLITS; `most` of them, from all over the list."""
        digest, found = digest_of((*_HEARING, f"{_HERE}/references.py")), []
        names = references.track_names(split)[family]
        names = names[:: 1 if most is None else -(-len(names) // most)]
        for package, name in track(names, f"{family}: {split} recordings", console=self.console):
            file = references.find(self._recordings, package, name)
            found.append(self._theirs.get(
                f"recording-{package}-{name}", digest, lambda file=file: hear(references.clip(file))
            ))  # fmt: skip
        return found

    def renditions(self, style: str, num_takes: int) -> tuple[list[Heard], list[Heard]]:
        """What is heard of takes by our synth and by the bank, in the same order; silent ones are left out."""
        ours, theirs = [], []
        played = [take for take in self.takes(style, num_takes) if len(take.notes)]
        for take in track(played, f"{style}: {num_takes} takes", console=self.console):
            sources = *_HEARING, *_NOTES, *_SYNTH, f"{_HERE}/renditions.py"
            one = self._heard("ours", take, sources, renditions.play_ours)
            sources = *_HEARING, *_NOTES, *_BANK
            other = self._heard("bank", take, sources, lambda t, s: renditions.play_bank(t, s, self._recordings))
            if one is not None and other is not None:
                ours.append(one)
                theirs.append(other)
        return ours, theirs

    def takes(self, style: str, num_takes: int, seconds: float = CLIP_FROM_S + CLIP_S) -> list[Take]:
        def make() -> list[Take]:
            return takes.compose(style, range(num_takes), seconds)

        return self._ours.get(f"takes-{style}-{num_takes}-{seconds:.0f}", digest_of(_NOTES), make)

    def _heard(
        self, player: str, take: Take, sources: Sequence[str], play: Callable[[Take, float], Float]
    ) -> Heard | None:
        """None where the clip has no sound."""

        def make() -> Heard | None:
            clip = play(take, CLIP_FROM_S + CLIP_S)[:, CLIP_FROM_S * SAMPLE_RATE :]
            return hear(clip) if is_audible(clip) else None

        name = f"{player}-{take.style}-{take.seed}"
        return self._ours.get(name, digest_of((*sources, f"{_HERE}/bench.py")), make)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Where a bench keeps things."""
    parser.add_argument("--out", type=Path, default=Path("runs/likeness"), help="takes, and what was heard of them")
    parser.add_argument(
        "--references", type=Path, default=Path("runs/likeness/references"), help="recordings and the bank"
    )
