"""Are tension, valence and energy heard, where nobody counts our notes?

    pip install --no-deps musicnn vibenet && pip install onnx onnxruntime
    python -m benchmarks.moods_heard [--sliders tension] [--styles cinematic,…] [--seeds 3] [--levels 7] [--data FOLDER]

Each slider is swept, all else equal, eight bars a level from a full phrase on, composed and played as a station is,
and read from the sound by three that know nothing of notes or of each other: `acoustic` (roughness, clearness of key,
colour: `engine/training/evaluation/acoustics.py`) and two networks, `vibenet` (its judgements of energy and valence)
and `musicnn` (tags of moods). `all` is the mean of the three in standard deviations. Beside each its rank correlation
with the slider over all seeds and levels within a style, mean and least of the styles, and the widest step of the mean
over seeds between two levels, as a share of the whole span. All but the figure of the level hear one loudness.

`figures` has the same of every acoustic figure, so that one sees by which means a slider is heard. `worth`, with
`--data`: how often each reading of tension puts human-made music for battles, bosses and dungeons above such for
towns, inns and fields, both played by our synth in a neutral mood: what the readers themselves are good for. `tonic`:
in which share of takes in plain major or minor the asked tonic is what a key reader hears in a minute of sound,
exactly, and what it hears instead. What was heard is kept in `--out` until its sources change.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness import record
from benchmarks.likeness.ears import EAR_RATE, JUDGED, Tagger, Vibe
from benchmarks.likeness.hearing import at_loudness, is_audible
from engine.score.composer import Composer
from engine.score.piece import Piece
from engine.training.evaluation import acoustics, listening, obedience, takes
from engine.training.evaluation.cache import Cache, digest_of
from engine.training.evaluation.sound import Player, to_hear
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.intent import STYLES

STYLES_HEARD = "cinematic,orchestral,synthwave,acoustic"
SLIDERS = ("tension", "valence", "energy")
NUM_BARS = 8
TONIC_SECONDS, TONIC_FROM_BAR = 60.0, 4
_SOURCES = ("moods", "engine/score", "engine/synth", "engine/checkpoints", "engine/training/evaluation/takes.py")
_READERS = ("engine/training/evaluation/acoustics.py", "benchmarks/likeness/ears.py", "benchmarks/moods_heard.py")

# Last.fm's tags of the model MSD_musicnn, in its order (https://github.com/jordipons/musicnn).
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
    "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica",
    "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip
_SIGNED_TAGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tension": (("experimental", "metal", "heavy metal"), ("easy listening", "beautiful", "happy")),
    "valence": (("happy", "party", "catchy", "easy listening"), ("sad", "ambient", "experimental")),
    "energy": (("dance", "party", "rock", "electro"), ("Mellow", "chillout", "ambient", "beautiful", "sad")),
}
"""Tags that speak for a reading, and against it.

What is dark and quiet is Mellow and chill to the network, however tense.
"""
_SIGNED_JUDGEMENTS = {
    "tension": (("energy", 1), ("valence", -1)),
    "valence": (("valence", 1),),
    "energy": (("energy", 1),),
}
"""Tense is what is lively and unpleasant: the diagonal of Russell's circle (Schimmack & Grob 2000)."""
_TENSE_SCENES = ("Battle", "Boss", "Dungeon", "Mystery", "JMystery", "JDoubt")
_CALM_SCENES = ("Town", "Field", "Church", "Inn", "JInn", "Ending", "Opening", "Castle", "Vehicle", "JJoke")

Floats = npt.NDArray[np.float64]


class Heard(NamedTuple):
    """One stretch of sound."""

    figures: dict[str, float]
    judgements: Floats  # [7] of vibenet
    tags: Floats  # [50] logits of musicnn


class Stage:
    """Who composes, plays and listens."""

    def __init__(self, folder: Path, num_seeds: int, num_levels: int, console: Console) -> None:
        self.cache, self.num_seeds, self.num_levels, self.console = Cache(folder), num_seeds, num_levels, console

    def sweep(self, slider: str, style: str) -> list[list[Heard]]:
        """What is heard of each seed at each level."""

        def make() -> list[list[Heard]]:
            rows = []
            for seed in range(self.num_seeds):
                controllers = takes.sweep_controllers(slider, style, seed, None, self.num_levels)
                pieces = takes.compose_all(_composer(), controllers, NUM_BARS)
                rows.append([hear(_player().play(piece, seed)[0]) for piece in pieces])
            return rows

        digest = digest_of((*_SOURCES, *_READERS), self.num_seeds, self.num_levels)
        return self.cache.get(f"{slider}-{style}", digest, make)

    def tonics(self, style: str) -> list[tuple[int, str]]:
        """Of each take in major or minor, how far above the asked tonic the tonic lies that was read, and the key."""

        def make() -> list[tuple[int, str]]:
            controllers = takes.tune_controllers(style, self.num_seeds, None)
            plain = [c for c in controllers if c.beat_intent(0).key.scale in ("major", "minor")]
            found = []
            for piece in takes.compose_seconds(_composer(), plain, 1.25 * TONIC_SECONDS):
                part = to_hear(piece, TONIC_FROM_BAR, TONIC_SECONDS)
                tonic, _ = listening.read_key(listening.to_mono(_player().play(part)[0]))
                found.append(((tonic - part.key.tonic) % 12, str(part.key)))
            return found

        sources = (*_SOURCES, "engine/training/evaluation/listening.py")
        return self.cache.get(f"tonic-{style}", digest_of(sources, self.num_seeds), make)

    def scenes(self, data: Path) -> tuple[list[Heard], list[Heard]]:
        """Human-made music for tense scenes and for calm ones."""

        def make() -> tuple[list[Heard], list[Heard]]:
            tense, calm = list[Heard](), list[Heard]()
            for piece in takes.game_tracks(
                list(takes.real_pieces(data, lambda _: None, ("easyrpg-rtp", "blasphemer")))
            ):
                folder, _, name = piece.source.partition("/")
                is_tense = folder == "blasphemer" or name.startswith(_TENSE_SCENES)
                if is_tense or name.startswith(_CALM_SCENES):
                    sound = _player().play(_neutral(to_hear(piece, 2, 20.0)))[0]
                    (tense if is_tense else calm).append(hear(sound))
            return tense, calm

        return self.cache.get("scenes", digest_of(("engine/synth", *_READERS), str(data.resolve())), make)


@cache
def _composer() -> Composer:
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    return takes.make_composer(sizes, tensors)


@cache
def _player() -> Player:
    return Player()


@cache
def _ears() -> tuple[Vibe, Tagger]:
    """Raises `NoEars`."""
    return Vibe(), Tagger("MSD_musicnn")


def _neutral(piece: Piece) -> Piece:
    """The notes of a piece in a mood that says nothing."""
    style = np.eye(len(STYLES), dtype=np.float32)[STYLES.index("orchestral")]
    bars = [replace(bar, valence=0.0, energy=0.5, tension=0.2, style=style) for bar in piece.bars]
    return replace(piece, bars=bars)


def hear(sound: npt.NDArray[np.float32]) -> Heard:
    """What is read in `sound` [2, T]; its own level counts for one figure alone."""
    if not is_audible(sound):
        return Heard(
            acoustics.measure(np.zeros(1, np.float32)), np.full(len(JUDGED), np.nan), np.full(len(TAGS), np.nan)
        )
    even = at_loudness(sound)
    figures = acoustics.measure(listening.to_mono(even)) | {"level_db": acoustics.level_db(sound.mean(axis=0))}
    mono = librosa.resample(even.mean(axis=0), orig_sr=48_000, target_sr=EAR_RATE, res_type="soxr_mq")
    vibe, tagger = _ears()
    return Heard(figures, vibe.judge(mono).mean(axis=0), tagger.logits(tagger.embed(mono)).mean(axis=0))


def _by_acoustics(heard: Sequence[Heard], slider: str) -> Floats:
    return acoustics.read([each.figures for each in heard], slider)


def _by_vibenet(heard: Sequence[Heard], slider: str) -> Floats:
    columns = [
        sign * acoustics.standardised([each.judgements[JUDGED.index(name)] for each in heard])
        for name, sign in _SIGNED_JUDGEMENTS[slider]
    ]
    return np.mean(columns, axis=0)


def _by_musicnn(heard: Sequence[Heard], slider: str) -> Floats:
    logits = np.array([each.tags for each in heard])
    pro, contra = (
        np.mean([acoustics.standardised(logits[:, TAGS.index(tag)]) for tag in tags], axis=0)
        for tags in _SIGNED_TAGS[slider]
    )
    return pro - contra


READERS: dict[str, Callable[[Sequence[Heard], str], Floats]] = {
    "acoustic": _by_acoustics,
    "vibenet": _by_vibenet,
    "musicnn": _by_musicnn,
}


def read(heard: Sequence[Heard], slider: str) -> dict[str, Floats]:
    """By reader, and of all together: [N]."""
    found = {name: reader(heard, slider) for name, reader in READERS.items()}
    return found | {"all": np.mean([acoustics.standardised(values) for values in found.values()], axis=0)}


def judge(sweeps: dict[str, list[list[Heard]]], slider: str) -> dict[str, Any]:
    """By reader: correlation and widest step; by acoustic figure: correlation. Means and worst over styles."""
    by_reader: dict[str, dict[str, tuple[float, float]]] = {}
    by_figure: dict[str, list[float]] = {}
    for style, rows in sweeps.items():
        flat, shape = [each for row in rows for each in row], (len(rows), len(rows[0]))
        for name, values in read(flat, slider).items():
            sweep = values.reshape(shape)
            found = obedience.pooled_correlation(sweep), obedience.widest_step(sweep)
            by_reader.setdefault(name, {})[style] = found
        for name in acoustics.FIGURES:
            sweep = np.array([each.figures[name] for each in flat]).reshape(shape)
            by_figure.setdefault(name, []).append(obedience.pooled_correlation(np.nan_to_num(sweep)))
    readers = {
        name: {
            "mean": round(float(np.mean([rho for rho, _ in styles.values()])), 3),
            "least": round(min(rho for rho, _ in styles.values()), 3),
            "step": round(float(np.mean([step for _, step in styles.values()])), 3),
            "styles": {style: round(rho, 3) for style, (rho, _) in styles.items()},
        }
        for name, styles in by_reader.items()
    }
    return readers | {"figures": {name: round(float(np.mean(found)), 3) for name, found in by_figure.items()}}


def worth(tense: Sequence[Heard], calm: Sequence[Heard]) -> dict[str, float]:
    """By reader, how often a tense scene is read as tenser than a calm one."""
    readings = read([*tense, *calm], "tension")
    return {
        name: round(float((values[: len(tense), None] > values[None, len(tense) :]).mean()), 3)
        for name, values in readings.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moods_heard", description=__doc__.splitlines()[0])
    parser.add_argument("--sliders", default=",".join((*SLIDERS, "tonic")))
    parser.add_argument("--styles", default=STYLES_HEARD, help="of the sweeps; tonics are read in all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--levels", type=int, default=7)
    parser.add_argument("--data", type=Path, help="folder with the clean data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/moods_heard"))
    parser.add_argument("--rehearse", action="store_true", help="keep no line")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    stage = Stage(options.out, options.seeds, options.levels, console)
    sliders = [name for name in options.sliders.split(",") if name]
    result: dict[str, Any] = {"seeds": options.seeds, "levels": options.levels, "styles": options.styles}
    table = Table(title="rank correlation of slider and reading within a style; widest step of the mean")
    for column in ("slider", "reader", "mean", "least", "widest step", "by style"):
        table.add_column(column)
    for slider in sliders:
        if slider == "tonic":
            continue
        styles = options.styles.split(",")
        found = judge({style: stage.sweep(slider, style) for style in track(styles, slider, console=console)}, slider)
        for reader in (*READERS, "all"):
            row = found[reader]
            each = ", ".join(f"{style} {rho:.2f}" for style, rho in row["styles"].items())
            table.add_row(slider, reader, f"{row['mean']:.2f}", f"{row['least']:.2f}", f"{row['step']:.2f}", each)
        console.print(f"{slider}: " + ", ".join(f"{name} {rho:+.2f}" for name, rho in found["figures"].items()))
        result[slider] = found
    if options.data is not None:
        result["worth"] = worth(*stage.scenes(options.data))
        console.print(f"tense above calm scenes, by reader: {result['worth']}")
    if table.rows:
        Console(width=160).print(table)
    if "tonic" in sliders:
        read_keys = [found for style in track(STYLES, "tonic", console=console) for found in stage.tonics(style)]
        above = Counter(distance for distance, _ in read_keys)
        result["tonic"] = {
            "takes": len(read_keys),
            "exact": round(above[0] / max(1, len(read_keys)), 3),
            "semitones_above": dict(sorted(above.items())),
        }
        console.print(f"tonic: {result['tonic']}")
    record("moods_heard", result, is_kept=not options.rehearse)


if __name__ == "__main__":
    main()
