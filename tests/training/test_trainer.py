"""Training learns, resumes where it stopped, and exports what the engine reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from engine.config import TINY
from engine.training.arranger import arrange
from engine.training.dataset import MIX, Dataset, build_dataset, load_dataset
from engine.training.trainer import Trainer, TrainingConfig, export, run
from engine.weights import read_checkpoint

CONFIG = TrainingConfig(batch_rows=2, length=96, peak_rate=5e-3, warmup_steps=2, total_steps=12)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_dataset(arrange("chiptune", seed, num_bars=8) for seed in range(60))


def silent() -> Console:
    return Console(file=io.StringIO())


def test_losses_fall(dataset: Dataset) -> None:
    trainer = Trainer(TINY, CONFIG, "cpu")
    batch = dataset.batch(2, 97, np.random.default_rng(0))
    losses = [float(trainer.train_step(batch).sum()) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_stopped_training_goes_on_where_it_was(dataset: Dataset, tmp_path: Path) -> None:
    first = Trainer(TINY, TrainingConfig(**{**vars(CONFIG), "total_steps": 5}), "cpu")
    run(first, dataset, tmp_path, minutes=1, console=silent())
    second = Trainer(TINY, CONFIG, "cpu")
    assert second.resume(tmp_path)
    assert second.progress.step == 5
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    run(second, dataset, tmp_path, minutes=1, console=silent())
    assert second.progress.step == CONFIG.total_steps


def test_what_is_exported_is_what_the_engine_reads(dataset: Dataset, tmp_path: Path) -> None:
    trainer = Trainer(TINY, CONFIG, "cpu")
    export(trainer, dataset, tmp_path, "python -m engine.training.trainer")
    sizes, tensors, manifest = read_checkpoint(tmp_path)
    assert sizes == TINY
    assert manifest["data"] == {"arranger": 60}
    for name, tensor in trainer.model.state_dict().items():
        assert np.abs(tensors[name] - tensor.numpy()).max() < 1e-3, name


def test_rows_are_pieces_one_after_another(dataset: Dataset) -> None:
    batch = dataset.batch(4, 200, np.random.default_rng(1))
    assert batch.events.shape == (4, 200, 5)
    beats = batch.events[:, :, 0] <= 1
    assert np.all(beats[:, 0])  # a row begins where a bar begins
    assert batch.known.all()


def test_held_out_pieces_are_never_drawn_for_training(dataset: Dataset) -> None:
    assert 0 < dataset.held_out.sum() < len(dataset.held_out) // 4
    rng = np.random.default_rng(2)
    assert not any(dataset.held_out[dataset._draw_piece(rng, MIX, held_out=False)] for _ in range(200))


def test_a_dataset_is_built_once(tmp_path: Path) -> None:
    cache = tmp_path / "dataset.npz"
    first = load_dataset(None, 13, cache, silent())
    second = load_dataset(None, 0, cache, silent())
    assert np.array_equal(first.events, second.events)
    assert first.sources == second.sources
