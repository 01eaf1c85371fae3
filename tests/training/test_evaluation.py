"""An evaluation of a real model is whole, repeatable and goes on where it broke off."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from engine.config import TINY
from engine.score.transformer import ScoreTransformer
from engine.training.evaluation import cost, takes
from engine.training.evaluation.__main__ import main
from engine.training.evaluation.cache import Cache
from engine.training.evaluation.context import Context, Scope
from engine.training.evaluation.parts import judge_cost, judge_felt, judge_originality, judge_takes, judge_tunes
from engine.training.evaluation.rows import at_least, at_most, make_row, to_json
from engine.weights import write_checkpoint

pytestmark = pytest.mark.slow

STYLE = "chiptune"


def tensors() -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    return {name: tensor.numpy() for name, tensor in ScoreTransformer(TINY).state_dict().items()}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    scope = Scope((STYLE,), 2, None, None, 3)
    cache = Cache(tmp_path_factory.mktemp("parts"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.training.evaluation.context.HOUR_SECONDS", 60.0)
        patch.setattr("engine.training.evaluation.context.LONG_SECONDS", 30.0)
        patch.setattr("engine.training.evaluation.context.TUNE_SECONDS", 20.0)
        yield Context(scope, TINY, tensors(), "tiny", cache, Console(file=io.StringIO()))


def test_a_take_has_what_was_asked_as_its_labels(context: Context) -> None:
    take = context.takes[STYLE][1]
    assert len(take.bars) == takes.TAKE_BARS
    asked = takes.take_controllers(STYLE, 2, None)[1].beat_intent(0)
    assert (take.bars[0].energy, take.key) == (asked.energy, asked.key)
    assert {piece.bars[0].energy >= 0.5 for piece in context.takes[STYLE]} == {True, False}  # moods cover the range
    assert take.bars[-1].beats_to_end == 0
    assert np.all(np.diff(take.notes["tick"]) >= 0)


def test_a_take_does_not_depend_on_the_batch(context: Context) -> None:
    composer = takes.make_composer(TINY, tensors())
    (alone,) = takes.compose(composer, takes.take_controllers(STYLE, 2, None)[1:], takes.TAKE_BARS)
    assert np.array_equal(alone.notes, context.takes[STYLE][1].notes)


@pytest.mark.parametrize("control", takes.SWEPT)
def test_a_sweep_changes_one_control_and_holds_no_layer_back(control: str) -> None:
    controllers = takes.sweep_controllers(control, STYLE, 0, None)
    asked = [controller.beat_intent(0) for controller in controllers]
    levels = [getattr(intent, control) for intent in asked]
    wanted = np.linspace(*takes.SWEPT[control], takes.NUM_LEVELS)
    if control == "density":
        wanted *= levels[-1]  # that of a mood rises and falls with the form, by the same share at every level
        assert 0.8 < levels[-1] <= 1
    assert levels == pytest.approx(wanted.tolist())
    others = {"valence", "tension", "temperature"} - {control}
    assert all(len({getattr(intent, name) for intent in asked}) == 1 for name in others)
    assert len({intent.active_layers for intent in asked if intent.energy >= 0.6}) == 1


def test_every_figure_has_every_column_and_is_plain_json(context: Context) -> None:
    parsed = json.loads(json.dumps(to_json(judge_takes(context)), allow_nan=False))
    assert all(set(row["columns"]) == {"model", "arranger"} for row in parsed)
    by_name = {row["figure"]: row for row in parsed}
    scale = by_name["notes in scale, tension ≤ 0.5"]
    assert scale["columns"]["arranger"]["mean"] >= 97
    assert scale["goal"]["bar"] == [97, None]
    assert set(scale["by_style"]["model"]) == {STYLE}


def test_tunes_are_judged_beside_the_teachers(context: Context) -> None:
    rows = {row.figure: row for row in judge_tunes(context)}
    assert rows["lead: median pitch"].columns["arranger"].count == 2
    assert rows["notes"].columns["model"].count == 2
    assert rows["the first theme in minutes 4 … 8"].verdict == "—"  # the takes are too short for it
    json.dumps(to_json(rows.values()), allow_nan=False)


@pytest.mark.long
def test_what_is_felt_is_told_of_every_slider(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_FELT_SEEDS", 1), ("_FELT_LEVELS", 3), ("_FELT_BARS", 1)):
        monkeypatch.setattr(f"engine.training.evaluation.parts.{name}", size)
    rows = judge_felt(context)
    assert len(rows) == 6
    assert all(-1 <= row.columns["model"].mean <= 1 for row in rows)


def test_takes_of_one_batch_may_have_lengths_of_their_own(context: Context) -> None:
    controllers = takes.tune_controllers(STYLE, 2, None) + takes.tune_controllers("sad", 1, None)
    pieces = takes.compose_seconds(context.composer, controllers, 5.0)
    assert [piece.bpm for piece in pieces] == [controller.beat_intent(0).bpm for controller in controllers]
    assert len({len(piece.bars) for piece in pieces}) > 1
    assert all(5.0 <= takes.seconds_of(piece) < 5.0 + 4 * 60 / piece.bpm for piece in pieces)


def test_the_teacher_alone_shares_what_was_learnt_from_it(context: Context) -> None:
    longest, mean = judge_originality(context)
    assert 0 <= mean.columns["model"].mean <= longest.columns["model"].mean
    assert mean.columns["arranger"].count == 2


def test_the_cost_is_of_this_model_and_of_others(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "SIZES", (TINY,))
    alone, eight, *sizes = judge_cost(context)
    assert alone.columns["model"].mean > 0 < eight.columns["model"].mean
    assert len(sizes) == 2 and all(row.columns["model"].mean > 0 for row in sizes)


def test_a_verdict_is_of_bar_and_reach() -> None:
    for goal, value, verdict in (
        (at_least(97, 99), 98.0, "passed"),
        (at_least(97, 99), 99.0, "reached"),
        (at_most(4, 1.5), 4.1, "FAILED"),
        (at_most(4, 1.5), float("nan"), "—"),
    ):
        assert make_row("figure", "%", {"model": {STYLE: [value]}}, goal).verdict == verdict


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    made = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [Cache(tmp_path).get("part", digest, make) for digest in ("a" * 16, "a" * 16, "b" * 16)] == [1, 1, 2]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_command_writes_table_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path, TINY, tensors(), {"data": {"arranger": 2}})
    out = tmp_path / "out"
    main(["--checkpoint", str(tmp_path), "--styles", STYLE, "--seeds", "1", "--only", "takes", "--out", str(out)])
    table = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert table["seeds"] == 1 and len(table["rows"]) > 10
    assert {file.name for file in out.glob("*.png")} == {"model.png", "arranger.png"}
    assert "endings" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--styles", "polkaa"], ["--seeds", "0"], ["--temperature", "5"], ["--only", "takes,noise"]]
)
def test_wrong_words_are_one_line(words: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^evaluation: [^\n]+$"):
        main(words)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such file"):
        main(["--checkpoint", str(tmp_path), "--styles", STYLE])
