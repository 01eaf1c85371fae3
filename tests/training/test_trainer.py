"""Training learns, resumes where it stopped, and exports what the engine reads."""

from __future__ import annotations

import io
import itertools
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from engine.config import TINY
from engine.errors import BadCheckpoint
from engine.score.kernels import quantise
from engine.score.vocabulary import CONDITION_SLICES, NO_RECALL
from engine.training import shards
from engine.training.arranger import arrange
from engine.training.dataset import (
    LAST_MIX,
    MIX,
    BadDataset,
    Dataset,
    Mix,
    NothingToDraw,
    UnknownSource,
    build_dataset,
    load_dataset,
    pack_dataset,
    read_dataset,
)
from engine.training.trainer import SIZES, Trainer, TrainingBatches, TrainingConfig, export, main, run
from engine.weights import read_checkpoint

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(batch_rows=2, length=96, peak_rate=5e-3, warmup_steps=2, total_steps=12)
SHORT = replace(CONFIG, total_steps=4)


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


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def are_equal(these: dict[str, torch.Tensor], those: dict[str, torch.Tensor]) -> bool:
    return these.keys() == those.keys() and all(torch.equal(tensor, those[name]) for name, tensor in these.items())


def train(dataset: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> Trainer:
    """Go on in `folder` to the schedule's end, or as if time were over at a step."""
    trainer = Trainer(TINY, SHORT, "cpu")
    trainer.resume(folder)
    with monkeypatch.context() as patch:
        clock = (60.0 * (trainer.progress.step == stop_at) for _ in itertools.count())
        patch.setattr("engine.training.trainer.time.monotonic", lambda: next(clock))
        run(trainer, dataset, folder, minutes=0.5, console=silent())
    return trainer


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent on in shards, each under its limit, of which nothing of an earlier step stays."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 100_000)
    whole = train(dataset, tmp_path / "whole", monkeypatch)
    first = train(dataset, tmp_path / "parts", monkeypatch, stop_at=2)
    assert first.progress.step == 2
    files = list((tmp_path / "parts").glob("*.safetensors"))
    assert len(files) > 4 and max(file.stat().st_size for file in files) < 110_000
    assert are_equal(weights(first), weights(resumed(tmp_path / "parts")))
    second = train(dataset, tmp_path / "parts", monkeypatch)
    assert second.progress.step == SHORT.total_steps == whole.progress.step
    assert are_equal(weights(second), weights(whole))
    assert second.progress.running == whole.progress.running
    assert all(file.name.startswith("000004-") for file in (tmp_path / "parts").glob("*.safetensors"))


def resumed(folder: Path) -> Trainer:
    trainer = Trainer(TINY, SHORT, "cpu")
    assert trainer.resume(folder)
    return trainer


def test_weights_without_the_optimiser_go_on_and_half_of_them_do_not(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 100_000)
    trained = train(dataset, tmp_path, monkeypatch, stop_at=1)
    for file in tmp_path.glob("*-moments-*"):
        file.unlink()
    assert are_equal(weights(resumed(tmp_path)), weights(trained))
    train(dataset, tmp_path, monkeypatch, stop_at=2)
    (missing := next(tmp_path.glob("*-weights-01*"))).unlink()
    with pytest.raises(BadCheckpoint, match=f"{missing.name}.*no such file"):
        Trainer(TINY, CONFIG, "cpu").resume(tmp_path)


def test_a_training_of_another_size_is_not_gone_on_with(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(dataset, tmp_path, monkeypatch, stop_at=0)
    with pytest.raises(BadCheckpoint, match="'num_layers': 1.*'num_layers': 2"):
        Trainer(replace(TINY, num_layers=1), CONFIG, "cpu").resume(tmp_path)


def test_what_is_exported_is_what_the_engine_reads(dataset: Dataset, tmp_path: Path) -> None:
    trainer = Trainer(TINY, CONFIG, "cpu")
    export(trainer, dataset, tmp_path, "tiny")
    sizes, tensors, manifest = read_checkpoint(tmp_path)
    assert sizes == TINY
    assert manifest["data"] == {"arranger": 60}
    for name, tensor in trainer.model.state_dict().items():
        assert np.abs(tensors[name] - tensor.numpy()).max() < 1e-3, name


def test_a_checkpoint_tells_the_command_that_trains_it_again(dataset: Dataset, tmp_path: Path) -> None:
    config = replace(CONFIG, peak_rate=3e-4, human_share=0.5, source_weights={"groove": 0.0})
    export(Trainer(TINY, config, "cpu"), dataset, tmp_path, "tiny")
    command = read_checkpoint(tmp_path)[2]["command"]
    schedule = f"--size tiny --steps {config.total_steps} --peak-rate 0.0003"
    assert f"--pieces 60 {schedule} --human-share 0.5 --weigh groove=0" in command
    assert "--begin-with" not in command


@pytest.mark.parametrize("size", SIZES)
def test_what_can_be_trained_can_be_played_on_the_cpu(size: str) -> None:
    sizes, _ = SIZES[size]
    for num_inputs in (sizes.dim, sizes.ffn_dim):
        assert quantise(np.zeros((1, 1, num_inputs), np.float32)).weight.shape == (1, 1, num_inputs)


def test_rows_are_pieces_one_after_another(dataset: Dataset) -> None:
    batch = dataset.batch(4, 200, np.random.default_rng(1))
    assert batch.events.shape == (4, 200, 5)
    beats = batch.events[:, :, 0] <= 1
    assert np.all(beats[:, 0])  # a row begins where a bar begins
    assert batch.known.all()


def test_held_out_pieces_are_never_drawn_for_training(dataset: Dataset) -> None:
    assert 0 < dataset.held_out.sum() < len(dataset.held_out) // 4
    assert not dataset.chances(MIX)[dataset.held_out].any()


@pytest.fixture(scope="module")
def mixed() -> Dataset:
    """Four pieces of each of five sources."""
    sources = ("arranger", "freedoom", "easyrpg-rtp", "groove", "openscore-lieder")
    pieces = [arrange("chiptune", seed, num_bars=8) for seed in range(4)]
    whole = build_dataset(
        replace(piece, source=f"{source}/{seed}") for source in sources for seed, piece in enumerate(pieces)
    )
    return replace(whole, held_out=np.zeros_like(whole.held_out))


def chances_of_sources(dataset: Dataset, mix: Mix) -> dict[str, float]:
    ends = np.cumsum(list(dataset.sources.values()))[:-1]
    return {
        name: float(part.sum())
        for name, part in zip(dataset.sources, np.split(dataset.chances(mix), ends), strict=True)
    }


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_people_have_the_share_that_is_asked_and_their_groups_keep_their_proportions(
    mixed: Dataset, share: float
) -> None:
    chances = chances_of_sources(mixed, MIX.with_human_share(share))
    assert chances["arranger"] == pytest.approx(1 - share)
    assert chances["freedoom"] + chances["easyrpg-rtp"] == pytest.approx(0.4 * share)
    assert (chances["groove"], chances["openscore-lieder"]) == pytest.approx((0.2 * share, 0.4 * share))


@pytest.mark.parametrize("share", [0, 1])
def test_rows_hold_what_may_be_drawn_alone(mixed: Dataset, share: int) -> None:
    is_human = np.arange(len(mixed.events)) >= mixed.starts[mixed.sources["arranger"]]
    marked = replace(mixed, events=mixed.events.copy())
    marked.events[:, 4] = is_human
    assert (marked.batch(2, 300, np.random.default_rng(4), MIX.with_human_share(share)).events[..., 4] == share).all()


def test_the_share_that_is_asked_holds_for_the_whole_schedule() -> None:
    config = replace(CONFIG, human_share=0.3)
    assert all(config.mix(step).groups["arranger"] == pytest.approx(0.7) for step in range(13))
    assert config.mix(12).groups["scores"] == LAST_MIX.groups["scores"] == 0
    assert CONFIG.mix(0) == MIX and CONFIG.mix(12) == LAST_MIX


def test_a_source_is_drawn_as_often_as_it_weighs(mixed: Dataset) -> None:
    chances = chances_of_sources(mixed, replace(MIX, weights={"easyrpg-rtp": 3.0, "openscore-lieder": 0.0}))
    assert chances["easyrpg-rtp"] == pytest.approx(3 * chances["freedoom"])
    # Of a group that may not be drawn the others share the part.
    assert chances["openscore-lieder"] == 0
    assert chances["arranger"] == pytest.approx(0.5 / 0.8)


def test_what_cannot_be_drawn_is_told_before_the_first_step(dataset: Dataset) -> None:
    with pytest.raises(UnknownSource, match="'lieder'.*arranger"):
        TrainingBatches(dataset, replace(CONFIG, source_weights={"lieder": 2.0}))
    with pytest.raises(NothingToDraw, match="none of arranger"):
        TrainingBatches(dataset, replace(CONFIG, human_share=1.0))


def test_without_recall_the_same_music_is_shown_with_nothing_recalled(dataset: Dataset) -> None:
    config = replace(CONFIG, length=200, dropped_controls=0.0, dropped_mood=0.0)
    shown, hidden = (TrainingBatches(dataset, replace(config, recalls=recalls))[3] for recalls in (True, False))
    assert np.array_equal(shown.events, hidden.events)
    assert (shown.recalled[..., 0] != NO_RECALL).any() and (hidden.recalled[..., 0] == NO_RECALL).all()
    recall = CONDITION_SLICES["recall"]
    assert shown.conditions[..., recall].any() and not hidden.conditions[..., recall].any()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--human-share", "1.5"), ("--human-share", "half"), ("--weigh", "groove"), ("--weigh", "a=-1")],
)
def test_an_option_out_of_its_range_is_told_with_the_range(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trainer", "--out", "nowhere", option, value])
    with pytest.raises(SystemExit):
        main()
    assert f"argument {option}: '{value}' is not" in capsys.readouterr().err


def test_a_dataset_is_built_once(tmp_path: Path) -> None:
    cache = tmp_path / "dataset.npz"
    first = load_dataset(None, 13, cache, silent())
    second = load_dataset(None, 0, cache, silent())
    assert np.array_equal(first.events, second.events)
    assert first.sources == second.sources


def test_what_is_packed_is_small_and_the_same(dataset: Dataset, tmp_path: Path) -> None:
    pack_dataset(dataset, tmp_path / "packed.npz")
    read = read_dataset(tmp_path / "packed.npz")
    for item in fields(Dataset):
        assert np.array_equal(getattr(read, item.name), getattr(dataset, item.name)), item.name
    assert (tmp_path / "packed.npz").stat().st_size < dataset.events.nbytes


def test_a_file_without_pieces_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no pieces")
    for name in ("text.npz", "nowhere.npz"):
        with pytest.raises(BadDataset, match=name):
            read_dataset(tmp_path / name)
