"""The parts of the evaluation. In: the context; out: rows of the table, bars and reaches beside them. One thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.score.piece import Bar, Piece
from engine.training import figures
from engine.training.evaluation import cost, endurance, form, listening, obedience, originality
from engine.training.evaluation.context import LONG_SECONDS, Context, flat
from engine.training.evaluation.rows import Goal, Row, Samples, at_least, at_most, make_row
from engine.training.evaluation.sound import spectral_centroid_hz, to_hear
from engine.training.evaluation.takes import (
    NUM_LEVELS,
    SWEEP_BARS,
    TAKE_BARS,
    ByStyle,
    first_seconds,
    seconds_of,
    take_controllers,
)
from engine.training.figures import (
    DRUMS,
    FIGURES,
    Interval,
    bootstrap,
    distance,
    distances,
    ends_on_tonic,
    excerpt,
    longest_run,
)

_HEARD_SECONDS, _HEARD_FROM_BAR = 25.0, 4
_BRIGHTNESS_SECONDS = 4.0
_MOST_PAIRS = 400
_MINUTES = 10.0

Measured = Callable[[Piece], float]


def _samples(columns: dict[str, ByStyle], measure: Measured) -> dict[str, Samples]:
    return {
        title: {style: [measure(piece) for piece in pieces] for style, pieces in styles.items()}
        for title, styles in columns.items()
    }


def _long_columns(context: Context) -> dict[str, ByStyle]:
    """The model's long takes beside the arranger's longest pieces and tracks of real game music."""
    columns = {"model": {style: long.pieces for style, long in context.long.items()}, "arranger": context.arranged_long}
    return columns | ({"real": {"game music": context.game}} if context.game else {})


# --- single takes ----------------------------------------------------------------------------------------------------

_GOALS = {"notes in scale, tension ≤ 0.5": at_least(97, 99), "endings on the tonic": at_least(100, 100)}


def judge_takes(context: Context) -> list[Row]:
    """Harmony, melody and endings of 32 bars."""
    columns = context.columns()
    rows = [
        make_row(figure.name, figure.unit, _samples(columns, figure.measure), _GOALS.get(figure.name))
        for figure in FIGURES
        if figure.measure not in (ends_on_tonic, longest_run)
    ]
    endings = _samples(columns, ends_on_tonic) | {"model": {s: _endings(p) for s, p in context.takes.items()}}
    name = "endings: tonic, asked bar, nothing after"
    return [*rows, make_row(name, "%", endings, at_least(100, 100))]


def _endings(pieces: Sequence[Piece]) -> list[float]:
    """`ends_on_tonic` of takes that were all to end on the first beat of bar `TAKE_BARS`."""
    return [ends_on_tonic(piece) if piece.bars[TAKE_BARS - 1].beats_to_end == 0 else 0.0 for piece in pieces]


# --- what is heard ---------------------------------------------------------------------------------------------------


def judge_sound(context: Context) -> list[Row]:
    """Key and tempo as an independent reader hears them in the sound."""
    heard: dict[str, dict[str, list[tuple[float, float]]]] = {"model": {}, "arranger": {}}
    for style in context.scope.styles:
        pieces = context.takes[style] + context.long[style].pieces
        heard["model"][style] = context.listen("key-tempo", style, lambda p=pieces: _listen(context, p))
        taught = context.arranged[style]
        heard["arranger"][style] = context.listen_to_teacher("key-tempo", style, lambda p=taught: _listen(context, p))
    keys, tempi = (
        {
            title: {style: [pair[i] for pair in pairs] for style, pairs in styles.items()}
            for title, styles in heard.items()
        }
        for i in range(2)
    )
    return [
        make_row("key read from sound, exact or relative", "%", keys, at_least(85, 95)),
        make_row("tempo read from sound, with drums", "%", tempi, at_least(95, 99)),
    ]


def _listen(context: Context, pieces: Sequence[Piece]) -> list[tuple[float, float]]:
    """Of each piece 100 or 0 for the key and for the tempo; NaN: drums play in under half its bars."""
    found = []
    for piece in pieces:
        part = to_hear(piece, _HEARD_FROM_BAR, _HEARD_SECONDS)
        mono = listening.to_mono(context.player.play(part)[0])
        is_key = listening.is_exact_or_relative(listening.read_key(mono), part.key)
        drum_bars = np.unique(part.notes["tick"][part.notes["layer"] == DRUMS] // form.BAR_TICKS)
        is_tempo = float("nan")
        if len(drum_bars) * 2 >= len(part.bars):
            error = listening.tempo_error(listening.read_tempo(mono), part.bpm)
            is_tempo = 100.0 * (error <= listening.TEMPO_TOLERANCE)
        found.append((100.0 * is_key, is_tempo))
    return found


# --- controls --------------------------------------------------------------------------------------------------------

_OBEDIENCE_GOALS = {
    "energy": at_least(0.9, 0.97),
    "loudness": at_least(0.9, 0.97),
    "valence": at_least(0.8, 0.95),
    "tension": at_least(0.8, 0.95),
}
_NAMES = {measure.control: f"{measure.control} → {measure.name}" for measure in obedience.MEASURES} | {
    "loudness": "energy → loudness before master",
    "brightness": "brightness → spectral centroid",
}
_LABELLED = {
    measure.control: figures.Obedience(measure.name, measure.control, measure.of)
    for measure in obedience.MEASURES
    if measure.control in Bar.__dataclass_fields__
}
"""Controls that the arranger's bars have as labels."""


def judge_controls(context: Context) -> list[Row]:
    """Each control against its measure over its range, and the steps at which nothing changes."""
    sweeps = context.sweeps | {"brightness": _brightness_sweeps(context)}
    rows = []
    for control, by_style in sweeps.items():
        row = _sweep_row(
            _NAMES[control], "Spearman", by_style, obedience.rank_correlation, _OBEDIENCE_GOALS.get(control)
        )
        rows.append(_beside_teacher(row, control, context))
    goal = at_least(15, NUM_LEVELS - 1)
    return rows + [
        _sweep_row(
            f"steps: {_NAMES[control]}", f"change, of {NUM_LEVELS - 1}", by_style, obedience.changing_steps, goal
        )
        for control, by_style in sweeps.items()
    ]


def _sweep_row(
    name: str,
    unit: str,
    by_style: dict[str, obedience.Sweep],
    statistic: Callable[[np.ndarray], float],
    goal: Goal | None,
) -> Row:
    """The figure of the measure's mean over all seeds; by style over the style's own."""
    seeds = np.concatenate(list(by_style.values()))
    styles = {style: bootstrap(sweep, statistic, resamples=1).mean for style, sweep in by_style.items()}
    return Row(name, unit, {"model": bootstrap(seeds, statistic)}, goal, {"model": styles})


def _beside_teacher(row: Row, control: str, context: Context) -> Row:
    """The arranger is asked nothing: its labels against its notes, over parts of its pieces, by style."""
    if control not in _LABELLED:
        return row
    num_bars, found = SWEEP_BARS[control], {}
    for style, pieces in context.teacher_sweeps.items():
        parts = [excerpt(p, first, first + num_bars) for p in pieces for first in range(0, TAKE_BARS, num_bars)]
        found[style] = [figures.obedience(_LABELLED[control], parts)]
    taught = make_row(row.figure, row.unit, {"arranger": found})
    return Row(row.figure, row.unit, row.columns | taught.columns, row.goal, row.by_style | taught.by_style, row.note)


def _brightness_sweeps(context: Context) -> dict[str, obedience.Sweep]:
    """Spectral centroid of the same notes at every level of brightness, [seeds, levels] by style."""
    levels = np.linspace(0, 1, NUM_LEVELS)

    def hear(style: str) -> obedience.Sweep:
        parts = [to_hear(piece, 2 * _HEARD_FROM_BAR, _BRIGHTNESS_SECONDS) for piece in context.long[style].pieces]
        return np.array(
            [
                [spectral_centroid_hz(context.player.play(part, brightness=level)[0]) for level in levels.tolist()]
                for part in parts
            ]
        )

    return {style: context.listen("brightness", style, lambda s=style: hear(s)) for style in context.scope.styles}


# --- style -----------------------------------------------------------------------------------------------------------


def judge_style(context: Context) -> list[Row]:
    """Is the asked style the one that a listener trained on others' music hears?"""
    answers = style_answers(context)
    samples = {
        title: {style: [100.0 * (name == style) for name in heard] for style, heard in styles.items()}
        for title, styles in answers.items()
    }
    return [make_row("style told from notes alone", "% of takes", samples, at_least(85, 97))]


def style_answers(context: Context) -> dict[str, dict[str, list[str]]]:
    """By column and style asked: the styles heard in each take."""
    listener = context.style_listener
    model = {
        style: pieces + [excerpt(piece, 0, TAKE_BARS) for piece in context.long[style].pieces]
        for style, pieces in context.takes.items()
    }
    return {
        title: {style: [listener.style_of(piece) for piece in pieces] for style, pieces in styles.items()}
        for title, styles in {"model": model, "arranger": context.arranged}.items()
    }


# --- form ------------------------------------------------------------------------------------------------------------


def judge_form(context: Context) -> list[Row]:
    """Over ten minutes: what returns, what is new, what is repeated, and how far seeds lie apart."""
    tracks = context.game
    rows = []
    for name, unit, measure in (
        ("theme return", "0 … 1", form.theme_return),
        ("novelty at borders", "0 … 1", form.novelty),
        ("new material", "0 … 1", form.new_material),
        ("4-bar units already heard in 5 min", "%", form.already_heard),
    ):
        rows.append(_against_real(name, unit, context, tracks, measure))
    runs = _samples(_long_columns(context), longest_run)
    rows.append(make_row("longest run of identical bars, worst", "bars", runs, at_most(4, 4), statistic=np.max))
    rows.append(make_row("longest run of identical bars, mean", "bars", runs))
    return [*rows, _distance_row(context)]


def _against_real(name: str, unit: str, context: Context, tracks: Sequence[Piece], measure: Measured) -> Row:
    """A figure that is to lie inside the middle 80 % (reach: 50 %) of real game tracks."""
    samples = _samples(_long_columns(context), measure)
    real = np.array([value for value in samples.get("real", {}).get("game music", []) if not np.isnan(value)])
    if not len(real):
        return make_row(name, unit, samples)
    low, quarter, middle, three_quarters, high = np.percentile(real, (10, 25, 50, 75, 90)).tolist()
    ours = bootstrap([value for values in samples["model"].values() for value in values], resamples=1).mean
    note = (
        f"real 10/25/50/75/90 %: {low:.3g} / {quarter:.3g} / {middle:.3g} / {three_quarters:.3g} / {high:.3g} "
        f"({len(real)} tracks); the model's mean lies at {100 * float((real < ours).mean()):.0f} %"
    )
    return make_row(name, unit, samples, Goal((low, high), (quarter, three_quarters)), note=note)


def _distance_row(context: Context) -> Row:
    """Mean distance of seeds of one mood and style, as a share of that of real pieces of one set."""
    real = _real_distance(context.game)
    if np.isnan(real):
        real = 1.0
    columns = {"model": {style: long.pieces for style, long in context.long.items()}, "arranger": context.arranged}
    samples = {
        title: {
            style: [d / real for d in distances([excerpt(p, 0, min(TAKE_BARS, len(p.bars))) for p in pieces])]
            for style, pieces in styles.items()
        }
        for title, styles in columns.items()
    }
    name = "distance between seeds of one mood"
    if not context.game:
        return make_row(name, "0 … 1", samples)
    note = f"real game tracks of one set lie {real:.3g} apart"
    return make_row(name, "of real pieces' own", samples, at_least(0.8, 1.0), note=note)


def _real_distance(tracks: Sequence[Piece]) -> float:
    """Mean over sets of the mean distance between tracks of one set."""
    sets: dict[str, list[Piece]] = {}
    for track in tracks:
        sets.setdefault(track.source.split("/")[0], []).append(excerpt(track, 0, min(TAKE_BARS, len(track.bars))))
    rng = np.random.default_rng(0)
    means = []
    for found in sets.values():
        pairs = rng.integers(len(found), size=(_MOST_PAIRS, 2)).tolist()
        values = [distance(found[a], found[b]) for a, b in pairs if a != b]
        means.append(np.nanmean(values) if values else np.nan)
    return float(np.nanmean(means)) if means else float("nan")


# --- originality, endurance, cost ------------------------------------------------------------------------------------


def judge_originality(context: Context) -> list[Row]:
    """The longest run of melody that each take with a lead shares with what was learnt."""
    model = {
        style: pieces + [first_seconds(piece, LONG_SECONDS / 4) for piece in context.long[style].pieces]
        for style, pieces in context.takes.items()
    }
    columns = context.columns() | {"model": model}
    leads = [originality.lead_codes(piece) for styles in columns.values() for piece in flat(styles)]
    found = originality.longest_shared(leads, context.learnt_lines)
    shared = iter([notes if len(lead) else np.nan for notes, lead in zip(found, leads, strict=True)])
    samples = {
        title: {style: [float(next(shared)) for _ in pieces] for style, pieces in styles.items()}
        for title, styles in columns.items()
    }
    name = "melodic run shared with training"
    return [
        make_row(f"{name}, 99th %", "notes", samples, at_most(11, 8), statistic=lambda v: np.percentile(v, 99)),
        make_row(f"{name}, mean", "notes", samples),
    ]


def judge_endurance(context: Context) -> list[Row]:
    """An hour of every style: resets of the watchdog and faults that it should have kept away."""
    resets = {
        style: [count / seconds_of(p) * 60 * _MINUTES for p, count in zip(long.pieces, long.resets, strict=True)]
        for style, long in context.long.items()
    }
    rows = [make_row("watchdog resets", "in 10 min", {"model": resets}, at_most(0.2, 0))]
    columns = _long_columns(context)
    for name, count in endurance.FAULTS.items():
        samples = _samples(columns, lambda piece, count=count: count(piece) / seconds_of(piece) * 60 * _MINUTES)
        rows.append(make_row(name, "in 10 min", samples))
    return rows


def judge_cost(context: Context) -> list[Row]:
    """CPU time of composing for one station alone and for each of eight; then for models of other sizes."""
    composer = context.composer
    controllers = [c for style in context.scope.styles for c in take_controllers(style, context.scope.num_seeds, None)]
    cost.share_of_core(composer, controllers[:1])
    alone = [cost.share_of_core(composer, [controller]) for controller in controllers]
    eights = [cost.share_of_core(composer, controllers[i : i + 8]) for i in range(0, max(1, len(controllers) - 7), 8)]
    rows = [
        Row("composing, alone", "% of a core", {"model": bootstrap(alone)}, at_most(8, 3)),
        Row("composing, each of 8", "% of a core", {"model": bootstrap(eights)}, at_most(4, 1.5)),
    ]
    for batch, values in ((1, alone), (8, eights)):
        ours = cost.cost_of_event_ms(context.sizes, controllers[:batch], context.tensors)
        for sizes in cost.SIZES:
            tensors = cost.random_tensors(sizes)
            factor = cost.cost_of_event_ms(sizes, controllers[:batch], tensors) / ours
            share = factor * float(np.mean(values))
            label = "alone" if batch == 1 else "each of 8"
            title = f"  were it {cost.num_parameters(tensors) / 1e6:.1f} M parameters, {label}"
            rows.append(Row(title, "% of a core", {"model": Interval(share, share, share, 1)}))
    return rows


PARTS: dict[str, Callable[[Context], list[Row]]] = {
    "takes": judge_takes,
    "sound": judge_sound,
    "controls": judge_controls,
    "style": judge_style,
    "form": judge_form,
    "originality": judge_originality,
    "endurance": judge_endurance,
    "cost": judge_cost,
}
