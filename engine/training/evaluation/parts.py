"""The parts of the evaluation. In: the context; out: rows of the table, bars and reaches beside them. One thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.score.piece import Bar, Piece
from engine.training import figures
from engine.training.evaluation import cost, endurance, form, listening, obedience, originality, tunes
from engine.training.evaluation.context import LONG_SECONDS, Context, flat
from engine.training.evaluation.rows import Goal, Row, Samples, against_real, at_least, at_most, make_row
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
_PLAIN_SCALES = ("major", "minor")
"""Whose tonic a reader can tell that knows no others."""
_FELT_STYLES, _FELT_SEEDS, _FELT_LEVELS, _FELT_BARS = 4, 3, 7, 8
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
    heard: dict[str, dict[str, list[tuple[float, ...]]]] = {"model": {}, "arranger": {}}
    for style in context.scope.styles:
        pieces = context.takes[style] + context.long[style].pieces
        heard["model"][style] = context.listen("key-tempo", style, lambda p=pieces: _listen(context, p))
        taught = context.arranged[style]
        heard["arranger"][style] = context.listen_to_teacher("key-tempo", style, lambda p=taught: _listen(context, p))
    keys, tonics, tempi = (
        {
            title: {style: [found[i] for found in takes] for style, takes in styles.items()}
            for title, styles in heard.items()
        }
        for i in range(3)
    )
    return [
        make_row("key read from sound, exact or relative", "%", keys, at_least(85, 95)),
        make_row("tonic read from sound, exact, major and minor", "%", tonics, at_least(75, 95)),
        make_row("tempo read from sound, with drums", "%", tempi, at_least(95, 99)),
    ]


def _listen(context: Context, pieces: Sequence[Piece]) -> list[tuple[float, ...]]:
    """Of each piece 100 or 0 for the key, for the tonic of a plain key and for the tempo of drums in half its bars."""
    found = []
    for piece in pieces:
        part = to_hear(piece, _HEARD_FROM_BAR, _HEARD_SECONDS)
        mono = listening.to_mono(context.player.play(part)[0])
        read = listening.read_key(mono)
        is_key = listening.is_exact_or_relative(read, part.key)
        is_tonic = 100.0 * (read[0] == part.key.tonic) if part.key.scale in _PLAIN_SCALES else float("nan")
        drum_bars = np.unique(part.notes["tick"][part.notes["layer"] == DRUMS] // form.BAR_TICKS)
        is_tempo = float("nan")
        if len(drum_bars) * 2 >= len(part.bars):
            error = listening.tempo_error(listening.read_tempo(mono), part.bpm)
            is_tempo = 100.0 * (error <= listening.TEMPO_TOLERANCE)
        found.append((100.0 * is_key, is_tonic, is_tempo))
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
    columns, rows = _long_columns(context), []
    for name, unit, measure in (
        ("theme return", "0 … 1", form.theme_return),
        ("novelty at borders", "0 … 1", form.novelty),
        ("new material", "0 … 1", form.new_material),
        ("4-bar units already heard in 5 min", "%", form.already_heard),
    ):
        rows.append(against_real(name, unit, _samples(columns, measure)))
    runs = _samples(columns, longest_run)
    rows.append(make_row("longest run of identical bars, worst", "bars", runs, at_most(4, 4), statistic=np.max))
    rows.append(make_row("longest run of identical bars, mean", "bars", runs))
    return [*rows, _distance_row(context)]


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


# --- tunes -----------------------------------------------------------------------------------------------------------


def judge_tunes(context: Context) -> list[Row]:
    """Is there something to hum, and does it come back? Takes of minutes, arranger's longest pieces, whole tracks."""
    columns = {"model": context.tunes, "arranger": context.arranged_long}
    columns |= {"real": {tunes.GAME: tunes.with_tunes(context.game)}} if context.game else {}
    long = {name: pieces for name, pieces in _long_columns(context).items() if name != "arranger"}
    return [
        *tunes.judge(columns, tunes.TUNES),
        tunes.common_row(columns),
        *tunes.judge(long, tunes.OVER_MINUTES),
        tunes.spread_row(long),
    ]


# --- what is felt ----------------------------------------------------------------------------------------------------

_FELT_GOALS = {"tension": at_least(0.6, 0.82), "valence": at_least(0.75, 0.82), "energy": at_least(0.85, 0.9)}


def judge_felt(context: Context) -> list[Row]:
    """Each field of the mood against what is read from the sound, without counting notes, within a few styles.

    The first `_FELT_STYLES` of those asked; `make bench NAME=moods_heard` adds networks that listen.
    """
    rows = []
    for control, goal in _FELT_GOALS.items():
        sweeps = context.felt(control, context.scope.styles[:_FELT_STYLES], _FELT_SEEDS, _FELT_LEVELS, _FELT_BARS)
        seeds = np.stack(list(sweeps.values()), axis=1)
        for name, unit, statistic, wanted in (
            (f"{control} as read from sound", "Spearman", obedience.pooled_correlation, goal),
            (f"{control} as read from sound, widest step", "of its span", obedience.widest_step, at_most(0.33, 0.25)),
        ):
            by_style = {style: statistic(sweep) for style, sweep in sweeps.items()}
            mean = bootstrap(seeds, lambda drawn, of=statistic: float(np.mean([of(s) for s in drawn.swapaxes(0, 1)])))
            rows.append(Row(name, unit, {"model": mean}, wanted, {"model": by_style}))
    return rows


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
    "tunes": judge_tunes,
    "felt": judge_felt,
    "originality": judge_originality,
    "endurance": judge_endurance,
    "cost": judge_cost,
}
