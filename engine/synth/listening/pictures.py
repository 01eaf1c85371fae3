"""Spectrograms of what was played, to look at. In: sound; out: PNG files. Offline, needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 - the backend is to be chosen first

Float = npt.NDArray[np.float32]
LOWEST_HZ, HIGHEST_HZ = 30.0, 20_000.0
DYNAMICS_DB = 90.0
_SIZE, _HOP, _ROWS = 4096, 1024, 200
_SHEET_COLUMNS = 6


@dataclass(frozen=True)
class Spectrogram:
    """What is drawn of a sound."""

    name: str
    seconds: float
    levels_db: Float  # [_ROWS, steps] of the sum of both channels by logarithmic frequency, against the loudest


def spectrogram(name: str, sound: Float) -> Spectrogram:
    mono = np.pad(sound.mean(axis=0), (0, _SIZE))
    frames = np.lib.stride_tricks.sliding_window_view(mono, _SIZE)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_SIZE), axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, _ROWS + 1) * _SIZE / SAMPLE_RATE
    firsts = np.floor(edges[:-1]).astype(int)
    lasts = np.maximum(np.ceil(edges[1:]).astype(int), firsts + 1)
    rows = np.array([power[:, first:last].max(axis=1) for first, last in zip(firsts, lasts, strict=True)])
    levels_db = 10 * np.log10(rows / max(float(rows.max()), 1e-20) + 1e-12)
    return Spectrogram(name, sound.shape[1] / SAMPLE_RATE, levels_db.astype(np.float32))


def _draw(axes: Any, picture: Spectrogram) -> None:
    axes.imshow(
        picture.levels_db, origin="lower", aspect="auto", cmap="magma", vmin=-DYNAMICS_DB, vmax=0,
        extent=(0, picture.seconds, 0, _ROWS), interpolation="nearest",
    )  # fmt: skip
    ticks = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
    axes.set_yticks([_ROWS * np.log(hz / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ) for hz in ticks])
    axes.set_yticklabels([f"{hz // 1000} k" if hz >= 1000 else str(hz) for hz in ticks], fontsize=6)
    axes.set_title(picture.name, fontsize=8)


def draw_spectrogram(file: Path, name: str, sound: Float) -> Spectrogram:
    """One picture: the waveform above the spectrogram."""
    picture = spectrogram(name, sound)
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(10, 5), height_ratios=(1, 4), sharex=True)
    step = max(1, sound.shape[1] // 4000)
    seconds = np.arange(0, sound.shape[1], step) / SAMPLE_RATE
    above.plot(seconds, sound[0, ::step], linewidth=0.4)
    above.plot(seconds, sound[1, ::step], linewidth=0.4)
    _draw(below, picture)
    below.set_xlabel("s")
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    pyplot.close(figure)
    return picture


def draw_sheet(file: Path, pictures: Sequence[Spectrogram]) -> None:
    """All spectrograms on one sheet."""
    num_rows = -(-len(pictures) // _SHEET_COLUMNS)
    figure, axes = pyplot.subplots(
        num_rows, _SHEET_COLUMNS, figsize=(3.2 * _SHEET_COLUMNS, 1.9 * num_rows), squeeze=False
    )
    for place, picture in zip(axes.ravel(), pictures, strict=False):
        _draw(place, picture)
    for place in axes.ravel()[len(pictures) :]:
        place.axis("off")
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    pyplot.close(figure)
