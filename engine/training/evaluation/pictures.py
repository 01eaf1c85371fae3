"""Pictures of music for the eye. In: pieces; out: PNG files. Needs matplotlib; remembers nothing; one thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.score.vocabulary import DRUM_NOTES
from engine.training.evaluation.context import Context
from engine.training.evaluation.form import bar_similarity
from engine.training.evaluation.obedience import Sweep
from engine.training.evaluation.parts import style_answers
from engine.training.evaluation.style import confusion
from engine.training.figures import DRUMS, excerpt
from engine.training.labels import BAR_TICKS
from moods.harmony import CHORD_QUALITY_NAMES, PITCH_CLASSES
from moods.intent import BEATS_PER_BAR, LAYERS, STYLES

_COLOURS = ("#777777", "#c0392b", "#2471a3", "#229954", "#e67e22")  # in the order of LAYERS
_DRUM_FLOOR = 6
"""Where the drums are drawn, below the lowest bass."""
_DRUM_STEP = 1.2
_TOP_PITCH = 100
_LINE_BARS = 16
_LONG_BARS = 192
"""Of the matrix of many minutes: more would be too small for the eye."""


def draw_roll(axes: Axes, piece: Piece) -> None:
    """Piano roll over bars: layers by colour, velocity by opacity, chord names above."""
    notes = piece.notes
    starts = notes["tick"] / BAR_TICKS
    lengths = [
        TICKS_PER_BEAT // 6 if layer == DRUMS else length
        for layer, length in zip(notes["layer"], notes["length"], strict=True)
    ]
    heights = [
        _DRUM_FLOOR + _DRUM_STEP * DRUM_NOTES.index(pitch) if layer == DRUMS else pitch
        for layer, pitch in zip(notes["layer"].tolist(), notes["pitch"].tolist(), strict=True)
    ]
    lines = [
        ((start, y), (start + length / BAR_TICKS, y)) for start, length, y in zip(starts, lengths, heights, strict=True)
    ]
    opacities = 0.4 + 0.6 * notes["velocity"] / 127
    colours = [_COLOURS[layer] for layer in notes["layer"]]
    axes.add_collection(LineCollection(lines, colors=colours, alpha=opacities, linewidths=2))
    for chord in piece.chords:
        name = PITCH_CLASSES[chord["root"]] + CHORD_QUALITY_NAMES[chord["quality"]]
        axes.text(chord["tick"] / BAR_TICKS, _TOP_PITCH, name, fontsize=6, va="top", rotation=45)
    for bar in range(0, len(piece.bars), BEATS_PER_BAR):
        axes.axvline(bar, color="black", linewidth=0.3)
    axes.set_xlim(0, len(piece.bars))
    axes.set_ylim(0, _TOP_PITCH + 2)


def draw_column(pieces: dict[str, Piece], long: dict[str, Piece], title: str, file: Path) -> None:
    """One page: for every style the roll of a piece, how alike its bars are and, of `long`, those of many minutes."""
    figure = Figure(figsize=(22, 3.2 * max(1, len(pieces))), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(max(1, len(pieces)), 3, width_ratios=(6, 1, 1), squeeze=False)
    for (roll, near, far), (style, piece) in zip(rows, pieces.items(), strict=False):
        draw_roll(roll, piece)
        bar = piece.bars[len(piece.bars) // 2]
        mood = f"valence {bar.valence:.2f}, energy {bar.energy:.2f}, tension {bar.tension:.2f}"
        roll.set_title(f"{style} · {piece.key} · {piece.bpm:.0f} bpm · {mood}", fontsize=9, loc="left")
        for axes, shown in ((near, piece), (far, long.get(style))):
            axes.axis("off" if shown is None else "on")
            if shown is not None:
                axes.imshow(bar_similarity(shown), vmin=0, vmax=1, cmap="magma")
                axes.set_title(f"{len(shown.bars)} bars", fontsize=8)
                axes.tick_params(labelsize=6)
    figure.suptitle(title)
    lines = [Line2D([], [], color=colour, label=name) for colour, name in zip(_COLOURS, LAYERS, strict=True)]
    figure.legend(handles=lines, ncols=len(lines), loc="outside lower right")
    figure.savefig(file, dpi=60)


def draw_tune(piece: Piece, file: Path) -> None:
    """The whole piece in lines of `_LINE_BARS`."""
    firsts = range(0, len(piece.bars), _LINE_BARS)
    figure = Figure(figsize=(22, 2.6 * len(firsts)), layout="constrained")
    FigureCanvasAgg(figure)
    for (axes,), first in zip(figure.subplots(len(firsts), 1, squeeze=False), firsts, strict=True):
        draw_roll(axes, excerpt(piece, first, min(first + _LINE_BARS, len(piece.bars))))
        axes.set_xlim(0, _LINE_BARS)
        axes.set_ylabel(f"from bar {first + 1}", fontsize=7)
    figure.suptitle(f"{piece.source} · {piece.key} · {piece.bpm:.0f} bpm")
    figure.savefig(file, dpi=60)


def draw_sweeps(sweeps: dict[str, dict[str, Sweep]], file: Path) -> None:
    """Of every control: its measure over its levels, the mean over all seeds and, thin, that of each style."""
    figure = Figure(figsize=(4 * len(sweeps), 4), layout="constrained")
    FigureCanvasAgg(figure)
    (row,) = figure.subplots(1, len(sweeps), squeeze=False)
    colours = colormaps["tab20"].colors
    for axes, (control, by_style) in zip(row, sweeps.items(), strict=True):
        for colour, (style, sweep) in zip(colours, by_style.items(), strict=False):
            axes.plot(sweep.mean(axis=0), color=colour, linewidth=0.8, label=style)
        axes.plot(np.concatenate(list(by_style.values())).mean(axis=0), color="black", linewidth=2.5)
        axes.set_title(control)
    row[-1].legend(fontsize=6)
    figure.savefig(file, dpi=70)


def draw_confusion(answers: dict[str, dict[str, list[str]]], file: Path) -> None:
    """Of every column: which style was asked (rows) and which was heard (columns), in shares."""
    figure = Figure(figsize=(7 * len(answers), 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    (row,) = figure.subplots(1, len(answers), squeeze=False)
    for axes, (title, heard) in zip(row, answers.items(), strict=True):
        axes.imshow(confusion(heard), vmin=0, vmax=1, cmap="Blues")
        axes.set_xticks(range(len(STYLES)), STYLES, rotation=90)
        axes.set_yticks(range(len(STYLES)), STYLES)
        axes.set_title(f"{title}: asked down, heard across")
    figure.savefig(file, dpi=70)


def draw_all(context: Context, parts: Sequence[str], folder: Path) -> None:
    """The pictures of the parts that were judged, as PNG files in `folder`."""
    if {"takes", "form"} & set(parts):
        long = {}
        if "form" in parts:
            long = {style: excerpt(found.pieces[0], 0, _LONG_BARS) for style, found in context.long.items()}
        for title, styles in context.columns().items():
            pieces = {style: pieces[0] for style, pieces in styles.items()}
            draw_column(pieces, long if title == "model" else {}, title, folder / f"{title}.png")
    if "controls" in parts:
        draw_sweeps(context.sweeps, folder / "controls.png")
    if "style" in parts:
        draw_confusion(style_answers(context), folder / "styles.png")
