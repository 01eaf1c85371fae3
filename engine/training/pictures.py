"""Pictures of music for the eye. In: pieces; out: PNG files. Needs matplotlib; remembers nothing; one thread."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.score.piece import TICKS_PER_BEAT, Piece
from engine.score.vocabulary import DRUM_NOTES
from engine.training.figures import DRUMS, self_similarity
from engine.training.labels import BAR_TICKS
from moods.harmony import CHORD_QUALITY_NAMES, PITCH_CLASSES
from moods.intent import BEATS_PER_BAR, LAYERS

_COLOURS = ("#777777", "#c0392b", "#2471a3", "#229954", "#e67e22")  # in the order of LAYERS
_DRUM_FLOOR = 6
"""Where the drums are drawn, below the lowest bass."""
_DRUM_STEP = 1.2
_TOP_PITCH = 100


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


def draw_column(pieces: dict[str, Piece], title: str, file: Path) -> None:
    """One page: for every style the roll of a piece and the overlap of its bars (`self_similarity`)."""
    figure = Figure(figsize=(20, 3.2 * max(1, len(pieces))), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(max(1, len(pieces)), 2, width_ratios=(6, 1), squeeze=False)
    for (roll, matrix), (style, piece) in zip(rows, pieces.items(), strict=False):
        draw_roll(roll, piece)
        bar = piece.bars[len(piece.bars) // 2]
        mood = f"valence {bar.valence:.2f}, energy {bar.energy:.2f}, tension {bar.tension:.2f}"
        roll.set_title(f"{style} · {piece.key} · {piece.bpm:.0f} bpm · {mood}", fontsize=9, loc="left")
        matrix.imshow(self_similarity(piece), vmin=0, vmax=1, cmap="magma")
        matrix.tick_params(labelsize=6)
    figure.suptitle(title)
    figure.legend(handles=[Line2D([], [], color=c, label=n) for c, n in zip(_COLOURS, LAYERS, strict=True)], ncols=5)
    figure.savefig(file, dpi=60)
