"""Train the score transformer. In: encoded pieces; out: a checkpoint folder. Resumable; offline, one process.

    python -m engine.training.trainer --data FOLDER --out FOLDER [--minutes 60] [--threads 2] [--device cpu|cuda]
                                      [--size small|large] [--begin-with CHECKPOINT] [--compile] [--export FOLDER]
                                      [--human-share 0.4] [--weigh groove=0 easyrpg-rtp=10] [--no-recall] [--seed 2]
    python -m engine.training.trainer --data FOLDER --pack FILE      the pieces as one small file, for
    python -m engine.training.trainer --dataset FILE --out FOLDER …  a machine that has nothing else

Every run continues what lies in `--out` (weights, optimiser, step, curve), on any device, as if it had not stopped: a
long training may be many short ones. The shipped checkpoint is written by `--export`. The last line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from engine.config import LARGE, TINY, ModelConfig
from engine.errors import BadCheckpoint, DeviceMissing, EngineError
from engine.score.transformer import ScoreTransformer
from engine.score.vocabulary import MOOD_GROUPS, hide
from engine.training.dataset import LAST_MIX, MIX, Batch, Dataset, Mix, load_dataset, pack_dataset, read_dataset
from engine.training.shards import read_training, write_training
from engine.weights import read_checkpoint, write_checkpoint

FIELDS = ("kind", "position", "value", "duration", "velocity")
_DROPPABLE = ("valence", "energy", "tension", "density", "tempo", "style", "scale", "layers", "section", "change")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. `total_steps` is where the learning rate reaches its floor."""

    batch_rows: int = 8
    length: int = 768  # events a row
    peak_rate: float = 1.5e-3
    floor_rate: float = 1e-4
    warmup_steps: int = 100
    total_steps: int = 3500
    weight_decay: float = 0.05
    dropped_controls: float = 0.08  # chance that a row does not see one of its controls
    dropped_mood: float = 0.12  # chance that it sees nothing of its mood, as guidance asks at sampling
    last_part: float = 0.35  # share of the steps, at the end, that draw from LAST_MIX
    human_share: float | None = None  # of the pieces drawn; None: as MIX and LAST_MIX have it
    source_weights: dict[str, float] = field(default_factory=dict)  # as in Mix
    recalls: bool = True  # False: nothing is shown as recalled
    seed: int = 1

    def mix(self, step: int) -> Mix:
        """What the batch of a step is drawn from."""
        mix = LAST_MIX if step >= self.total_steps * (1 - self.last_part) else MIX
        if self.human_share is not None:
            mix = mix.with_human_share(self.human_share)
        return replace(mix, weights=self.source_weights)


SIZES = {
    "small": (ModelConfig(), TrainingConfig()),  # the one that ships
    "large": (LARGE, TrainingConfig(batch_rows=32, length=1024, peak_rate=6e-4, warmup_steps=300, total_steps=6000)),
    "tiny": (TINY, TrainingConfig(batch_rows=2, length=96, peak_rate=5e-3, warmup_steps=2, total_steps=12)),
}
"""What can be trained, and how; the tiny one rehearses the way."""
WEIGHTS, MOMENTS = "weights", "moments"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progression:
    """What a training remembers besides tensors."""

    step: int = 0
    seconds: float = 0.0
    events: int = 0
    running: list[float] | None = None
    """The training's loss of each field, averaged over the last hundred steps or so."""
    curve: list[dict[str, Any]] = field(default_factory=list)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to the floor."""
    if step < config.warmup_steps:
        return config.peak_rate * (step + 1) / config.warmup_steps
    share = min(1.0, (step - config.warmup_steps) / max(1, config.total_steps - config.warmup_steps))
    return config.floor_rate + (config.peak_rate - config.floor_rate) * 0.5 * (1 + float(np.cos(np.pi * share)))


class Trainer:
    """Weights, optimiser and their progress."""

    def __init__(self, model_config: ModelConfig, config: TrainingConfig, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, torch.device(device)
        self.model = ScoreTransformer(model_config).to(self.device)
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.begun_with: dict[str, Any] | None = None  # of another checkpoint: its sha256 and its training
        self.optimiser = torch.optim.AdamW(groups, lr=config.peak_rate, betas=(0.9, 0.95), fused=True)
        self.progress = Progression()

    def _forward(self, batch: Batch) -> Tensor:
        arrays = (batch.events, batch.recalled, batch.conditions, batch.known)
        events, recalled, conditions, known = (torch.from_numpy(array).to(self.device) for array in arrays)
        with torch.autocast(self.device.type, torch.bfloat16):
            hidden = self.model(events[:, :-1], recalled[:, :-1], conditions[:, :-1])
            return self.model.losses(hidden, events[:, 1:], recalled[:, :-1], known[:, 1:])

    def train_step(self, batch: Batch) -> Tensor:
        """One update; the losses [5] before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.progress.step)
        losses = self._forward(batch)
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.events += int(batch.known.sum())
        return losses.detach()

    @torch.no_grad()
    def validate(self, batches: list[Batch]) -> dict[str, float]:
        """Mean loss of each field over held-out batches, in nats."""
        losses = torch.stack([self._forward(batch) for batch in batches]).mean(0)
        return {name: round(float(loss), 4) for name, loss in zip(FIELDS, losses, strict=True)}

    def begin_with(self, checkpoint: Path) -> None:
        """Take over the weights of another checkpoint of these sizes. What its vocabulary did not have yet begins at
        (next to) nothing, so that the first step hears what the other one heard."""
        _, tensors, manifest = read_checkpoint(checkpoint)
        state = self.model.state_dict()
        for name, tensor in state.items():
            if name not in tensors:
                continue
            before = torch.from_numpy(tensors[name])
            tensor.zero_()
            tensor[tuple(slice(size) for size in before.shape)] = before
        self.model.load_state_dict(state)
        self.begun_with = {key: manifest.get(key) for key in ("sha256", "training", "data", "begun_with")}

    def compile(self) -> None:
        """A third faster on a CPU, after half a minute; needs a C++ compiler."""
        self.model.forward = torch.compile(self.model.forward)
        self.model.losses = torch.compile(self.model.losses)

    def save(self, folder: Path) -> None:
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        moments = {
            f"{moment}.{names[parameter]}": state[moment]
            for parameter, state in self.optimiser.state.items()
            for moment in _MOMENTS
        }
        values = {
            **asdict(self.progress),
            "model": asdict(self.model.config),
            "training": asdict(self.config),
            "begun_with": self.begun_with,
        }
        write_training(folder, {WEIGHTS: self.model.state_dict(), MOMENTS: moments}, values)

    def resume(self, folder: Path) -> bool:
        """Go on with what lies in `folder`, if anything does. Raises `BadCheckpoint` where it is of other sizes.

        Weights that were brought here without the optimiser's moments go on with fresh ones.
        """
        found = read_training(folder)
        if found is None:
            return False
        groups, values = found
        sizes, own = values.pop("model"), asdict(self.model.config)
        if others := {name: size for name, size in sizes.items() if own[name] != size}:
            raise BadCheckpoint(folder, f"a model of { ({name: own[name] for name in others}) }", str(others))
        if WEIGHTS not in groups:
            raise BadCheckpoint(folder, "its weights", "none of their shards")
        del values["training"]
        self.model.load_state_dict(groups[WEIGHTS])
        self.begun_with = values.pop("begun_with")
        self.progress = Progression(**values)
        moments = groups.get(MOMENTS, {})
        for name, parameter in self.model.named_parameters():
            if f"{_MOMENTS[0]}.{name}" in moments:
                self.optimiser.state[parameter] = {
                    "step": torch.tensor(float(self.progress.step), device=self.device),
                    **{moment: moments[f"{moment}.{name}"].to(self.device) for moment in _MOMENTS},
                }
        return True


def drop_controls(batch: Batch, config: TrainingConfig, rng: np.random.Generator) -> Batch:
    """Hide controls from whole rows, so that the model also knows what to do when nobody asks."""
    for conditions in batch.conditions:
        hide(conditions, [name for name in _DROPPABLE if rng.random() < config.dropped_controls])
        if rng.random() < config.dropped_mood:
            hide(conditions, MOOD_GROUPS)
    return batch


class TrainingBatches(torch.utils.data.Dataset[Batch]):
    """Batch n, the same whoever makes it and whenever: a training that stopped sees what it would have seen."""

    def __init__(self, dataset: Dataset, config: TrainingConfig) -> None:
        """Raises `UnknownSource` and `NothingToDraw`."""
        self._dataset, self._config = dataset, config
        for step in (0, config.total_steps):
            dataset.chances(config.mix(step))

    def __getitem__(self, step: int) -> Batch:
        config = self._config
        rng = np.random.default_rng([config.seed, step])
        mix = config.mix(step)
        batch = self._dataset.batch(config.batch_rows, config.length + 1, rng, mix, recalls=config.recalls)
        return drop_controls(batch, config, rng)

    def since(self, first_step: int, num_workers: int) -> Iterator[Batch]:
        """Those of the rest of the schedule, made ahead by `num_workers` processes; 0: here, when they are needed."""
        steps = range(first_step, self._config.total_steps)
        return iter(torch.utils.data.DataLoader(self, None, sampler=steps, num_workers=num_workers))


def run(trainer: Trainer, dataset: Dataset, out: Path, minutes: float, console: Console, num_workers: int = 0) -> None:
    """Train for `minutes` or until the schedule's end, saving every two minutes."""
    config, progress = trainer.config, trainer.progress
    held_out = dataset.held_out_batches(config.batch_rows, config.length + 1, count=6)
    started, saved, seconds_before = time.monotonic(), time.monotonic(), progress.seconds
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    running = None if progress.running is None else torch.tensor(progress.running, device=trainer.device)

    def keep() -> None:
        progress.running = None if running is None else running.tolist()
        trainer.save(out)

    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=config.total_steps, completed=progress.step)
        for batch in TrainingBatches(dataset, config).since(progress.step, num_workers):
            elapsed = time.monotonic() - started
            if elapsed > minutes * 60:
                break
            losses = trainer.train_step(batch)
            running = losses if running is None else 0.98 * running + 0.02 * losses
            progress.seconds = seconds_before + elapsed
            if progress.step % 10 == 0:  # reading a loss waits for the card
                bar.update(task, completed=progress.step, description=f"step {progress.step} loss {running.sum():.3f}")
            if progress.step % 50 == 0:
                entry = {
                    "step": progress.step,
                    "seconds": round(progress.seconds),
                    "train": round(float(running.sum()), 4),
                }
                progress.curve.append(entry | {"held_out": trainer.validate(held_out)})
                console.print(json.dumps(progress.curve[-1]))
            if time.monotonic() - saved > 120:
                keep()
                saved = time.monotonic()
    keep()


def report(trainer: Trainer) -> dict[str, Any]:
    """What this run came to, in figures."""
    progress = trainer.progress
    return {
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "device": torch.cuda.get_device_name() if trainer.device.type == "cuda" else "cpu",
        "step": progress.step,
        "total_steps": trainer.config.total_steps,
        "seconds": round(progress.seconds, 1),
        "events_per_second": round(progress.events / max(progress.seconds, 1e-9)),
        "train": None if progress.running is None else round(sum(progress.running), 4),
        "held_out": progress.curve[-1]["held_out"] if progress.curve else None,
    }


def _command(trainer: Trainer, dataset: Dataset, size: str) -> str:
    """What would train this again, from the data sets and from the checkpoint that it began with."""
    config, usual = trainer.config, SIZES[size][1]
    given = {
        "data": "DATA",
        "begin-with": "CHECKPOINT" if trainer.begun_with else None,
        "pieces": dataset.sources.get("arranger", 0),
        "size": size,
        "steps": config.total_steps,
        "peak-rate": config.peak_rate,
        "human-share": config.human_share,
        "weigh": " ".join(f"{name}={times:g}" for name, times in config.source_weights.items()) or None,
        "seed": config.seed if config.seed != usual.seed else None,
    }
    options = [f"--{name} {value}" for name, value in given.items() if value is not None]
    return " ".join(["python -m engine.training.trainer", *options, *([] if config.recalls else ["--no-recall"])])


def export(trainer: Trainer, dataset: Dataset, folder: Path, size: str) -> None:
    """Write the checkpoint that ships: float16 weights and the manifest."""
    from engine.training.corpora import SOURCES, TABLE_LICENCES  # reads MIDI, by a library that only this needs

    tensors = {name: tensor.cpu().numpy() for name, tensor in trainer.model.state_dict().items()}
    manifest = {
        "command": _command(trainer, dataset, size),
        "training": asdict(trainer.config) | {k: v for k, v in asdict(trainer.progress).items() if k != "curve"},
        "data": dataset.sources,
        "licences": {name: SOURCES[name].licence for name in dataset.sources if name in SOURCES} | TABLE_LICENCES,
        "mix": {"first": trainer.config.mix(0).groups, "last": trainer.config.mix(trainer.config.total_steps).groups},
        "begun_with": trainer.begun_with,
        "curve": trainer.progress.curve,
    }
    write_checkpoint(folder, trainer.model.config, tensors, manifest)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.training.trainer", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder with the clean data sets; without it only the arranger teaches"
    )
    parser.add_argument("--pieces", type=int, default=7800, help="practice pieces the arranger writes")
    parser.add_argument("--dataset", type=Path, help="pieces that --pack has written, instead of all that")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pack", type=Path, help="write the pieces to this file, and train nothing")
    what.add_argument("--out", type=Path, help="folder of the resumable training")
    parser.add_argument("--export", type=Path, help="write the checkpoint to this folder at the end")
    parser.add_argument("--size", choices=SIZES, default="small", help="which model; small is the one that ships")
    parser.add_argument("--minutes", type=float, default=180.0, help="stop after this long; the next run goes on")
    parser.add_argument("--steps", type=int, help="length of the schedule, if not the size's own")
    parser.add_argument("--peak-rate", type=float, help="learning rate at its highest, if not the size's own")
    parser.add_argument("--human-share", type=_share, help="of the pieces drawn, 0 … 1, if not the schedule's own")
    parser.add_argument(
        "--weigh",
        nargs="+",
        type=_source_weight,
        default=[],
        metavar="SOURCE=TIMES",
        help="how many times as often as others of its group a source is drawn; 0: never",
    )
    parser.add_argument("--no-recall", action="store_true", help="show the model nothing as recalled")
    parser.add_argument("--seed", type=int, help="of weights and batches, if not the size's own")
    parser.add_argument("--threads", type=int, default=1, help="more only helps on an idle machine")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches ahead")
    parser.add_argument("--begin-with", type=Path, help="a checkpoint whose weights are taken over at step 0")
    parser.add_argument("--compile", action="store_true", help="compile the model first")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    try:
        _pack(options) if options.pack else _train(options)
    except EngineError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    return 0


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; expected a number of 0 … 1")
    return share


def _source_weight(text: str) -> tuple[str, float]:
    name, _, times = text.partition("=")
    try:
        weight = float(times)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not SOURCE=TIMES with TIMES a number of 0 or more")
    return name, weight


def _pack(options: argparse.Namespace) -> None:
    dataset = load_dataset(options.data, options.pieces, None, Console(stderr=True))
    pack_dataset(dataset, options.pack)
    figures = {"file": str(options.pack), "bytes": options.pack.stat().st_size, "events": len(dataset.events)}
    print(json.dumps(figures | {"pieces": dataset.sources}))


def _train(options: argparse.Namespace) -> None:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise DeviceMissing("cuda", "torch finds no CUDA device")
    torch.set_num_threads(options.threads)
    console = Console(stderr=True)
    if options.dataset:
        dataset = read_dataset(options.dataset)
    else:
        dataset = load_dataset(options.data, options.pieces, options.out / "dataset.npz", console)
    sizes, config = SIZES[options.size]
    asked = {
        "total_steps": options.steps,
        "peak_rate": options.peak_rate,
        "human_share": options.human_share,
        "seed": options.seed,
    }
    config = replace(
        config,
        **{name: value for name, value in asked.items() if value is not None},
        source_weights=dict(options.weigh),
        recalls=not options.no_recall,
    )
    trainer = Trainer(sizes, config, options.device)
    if trainer.resume(options.out):
        console.print(f"continuing at step {trainer.progress.step}")
    elif options.begin_with:
        trainer.begin_with(options.begin_with)
    if options.compile:
        trainer.compile()
    run(trainer, dataset, options.out, options.minutes, console, min(options.workers, os.cpu_count() or 1))
    if options.export:
        export(trainer, dataset, options.export, options.size)
    print(json.dumps(report(trainer)))


if __name__ == "__main__":
    sys.exit(main())
