"""Train the score transformer. In: encoded pieces; out: a checkpoint folder. Resumable; offline, one process.

    python -m engine.training.trainer --data FOLDER --out FOLDER [--minutes 60] [--threads 2] [--device cpu|cuda]
                                      [--begin-with CHECKPOINT] [--compile] [--export FOLDER]

Every run continues what lies in `--out` (training.pt: weights, optimiser, step, curve), so a long training may be many
short ones. The shipped checkpoint is written by `--export`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from engine.config import ModelConfig
from engine.score.transformer import ScoreTransformer
from engine.score.vocabulary import MOOD_GROUPS, hide
from engine.training.corpora import SOURCES, TABLE_LICENCES
from engine.training.dataset import LAST_MIX, MIX, Batch, Dataset, load_dataset
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
    seed: int = 1


@dataclass
class Progression:
    """What a training remembers besides tensors."""

    step: int = 0
    seconds: float = 0.0
    events: int = 0
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
        self.model.forward = torch.compile(self.model.forward)  # type: ignore[method-assign]
        self.model.losses = torch.compile(self.model.losses)  # type: ignore[method-assign]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
            "begun_with": self.begun_with,
        }
        torch.save(state, folder / "training.tmp")
        (folder / "training.tmp").replace(folder / "training.pt")

    def resume(self, folder: Path) -> bool:
        if not (folder / "training.pt").exists():
            return False
        state = torch.load(folder / "training.pt", map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progression(**state["progress"])
        self.begun_with = state["begun_with"]
        return True


def drop_controls(batch: Batch, config: TrainingConfig, rng: np.random.Generator) -> Batch:
    """Hide controls from whole rows, so that the model also knows what to do when nobody asks."""
    for conditions in batch.conditions:
        hide(conditions, [name for name in _DROPPABLE if rng.random() < config.dropped_controls])
        if rng.random() < config.dropped_mood:
            hide(conditions, MOOD_GROUPS)
    return batch


def training_batches(dataset: Dataset, config: TrainingConfig, first_step: int) -> Iterator[Batch]:
    """Endless; resuming at step n does not replay the first n batches."""
    rng = np.random.default_rng([config.seed, first_step])
    for step in itertools.count(first_step):
        mix = LAST_MIX if step >= config.total_steps * (1 - config.last_part) else MIX
        yield drop_controls(dataset.batch(config.batch_rows, config.length + 1, rng, mix), config, rng)


def run(trainer: Trainer, dataset: Dataset, out: Path, minutes: float, console: Console) -> None:
    """Train for `minutes` or until the schedule's end, saving every two minutes."""
    config, progress = trainer.config, trainer.progress
    held_out = dataset.held_out_batches(config.batch_rows, config.length + 1, count=6)
    started, saved, seconds_before = time.monotonic(), time.monotonic(), progress.seconds
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=config.total_steps, completed=progress.step)
        running: Tensor | None = None
        for batch in training_batches(dataset, config, progress.step):
            elapsed = time.monotonic() - started
            if progress.step >= config.total_steps or elapsed > minutes * 60:
                break
            losses = trainer.train_step(batch)
            running = losses if running is None else 0.98 * running + 0.02 * losses
            progress.seconds = seconds_before + elapsed
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
                trainer.save(out)
                saved = time.monotonic()
    trainer.save(out)


def export(trainer: Trainer, dataset: Dataset, folder: Path, command: str) -> None:
    """Write the checkpoint that ships: float16 weights and the manifest."""
    tensors = {name: tensor.cpu().numpy() for name, tensor in trainer.model.state_dict().items()}
    manifest = {
        "command": command,
        "training": asdict(trainer.config) | {k: v for k, v in asdict(trainer.progress).items() if k != "curve"},
        "data": dataset.sources,
        "licences": {name: SOURCES[name].licence for name in dataset.sources if name in SOURCES} | TABLE_LICENCES,
        "mix": {"first": MIX, "last": LAST_MIX},
        "begun_with": trainer.begun_with,
        "curve": trainer.progress.curve,
    }
    write_checkpoint(folder, trainer.model.config, tensors, manifest)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.trainer", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder with the clean data sets; without it only the arranger teaches"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the resumable training")
    parser.add_argument("--export", type=Path, help="write the checkpoint to this folder at the end")
    parser.add_argument("--minutes", type=float, default=180.0, help="stop after this long; the next run goes on")
    parser.add_argument("--steps", type=int, default=TrainingConfig.total_steps, help="length of the schedule")
    parser.add_argument("--pieces", type=int, default=7800, help="practice pieces the arranger writes")
    parser.add_argument("--threads", type=int, default=1, help="more only helps on an idle machine")
    parser.add_argument(
        "--peak-rate", type=float, default=TrainingConfig.peak_rate, help="learning rate at its highest"
    )
    parser.add_argument("--begin-with", type=Path, help="a checkpoint whose weights are taken over at step 0")
    parser.add_argument("--compile", action="store_true", help="compile the model first")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console(stderr=True)
    dataset = load_dataset(options.data, options.pieces, options.out / "dataset.npz", console)
    config = TrainingConfig(total_steps=options.steps, peak_rate=options.peak_rate)
    trainer = Trainer(ModelConfig(), config, options.device)
    if trainer.resume(options.out):
        console.print(f"continuing at step {trainer.progress.step}")
    elif options.begin_with:
        trainer.begin_with(options.begin_with)
    if options.compile:
        trainer.compile()
    run(trainer, dataset, options.out, options.minutes, console)
    if options.export:
        command = f"python -m engine.training.trainer --data DATA --steps {options.steps} --pieces {options.pieces}"
        export(trainer, dataset, options.export, command)


if __name__ == "__main__":
    main()
