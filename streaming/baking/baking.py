"""States into files. In: a request and a folder; out: the files, and what is told of them. Remembers nothing.

The calling thread composes. Each file appears when it is whole; the tables, which name them, come last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.stinger_sound import stinger_sound
from engine.synth.synth import Synth
from engine.take import Take
from moods.intent import BEATS_PER_BAR
from streaming.baking.asked import BakeRequest
from streaming.baking.planned import Ground, Piece, bridges, file_name, grounds, loops, stinger_opening
from streaming.baking.tables import write_tables
from streaming.files.errors import naming
from streaming.files.export import RenderJob, export, write_within_peak
from streaming.files.media import format_of
from streaming.files.provenance import provenance_of
from streaming.files.riff import append_cues
from streaming.files.target import Target

_ENDINGS = {"wav": (".wav",), "ogg": (".ogg",), "both": (".wav", ".ogg")}
_TRUE_PEAK_DB = -1.0

OnProgress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all files of a baking share."""

    request: BakeRequest
    folder: Path
    config: EngineConfig
    make_generator: Callable[[EngineConfig], Generator]

    @property
    def endings(self) -> tuple[str, ...]:
        return _ENDINGS[self.request.table.format]


def bake(
    request: BakeRequest, folder: Path, config: EngineConfig, on_progress: OnProgress = lambda share, name: None
) -> dict[str, Any]:
    """Make all files, and answer the table of them. Same request, same files.

    Raises `streaming.files.errors.ExportError`, `moods.errors.MoodsError`, `engine.errors.EngineError`.
    """
    began = time.monotonic()
    with naming(folder):
        for name in ("loops", "bridges", "stingers"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    bench = _Bench(request, folder, config, cache(open_generator))
    by_state = grounds(request)
    pieces = [(piece, "loops") for ground in by_state.values() for piece in loops(request, ground)]
    pieces += [(piece, "bridges") for piece in bridges(request, by_state)] if request.table.bridges else []
    struck = [(ground, name) for ground in by_state.values() for name in request.stingers]
    table: dict[str, Any] = {
        "version": 1, "seed": request.seed, "rate": SAMPLE_RATE, "beats_per_bar": BEATS_PER_BAR,
        "bars": request.table.bars,
        "initial": request.opening.initial or next(iter(request.opening.states)),
        "loops": [], "bridges": [], "stingers": [], "transitions": [],
    }  # fmt: skip
    num_files = len(pieces) + len(struck)
    for number, (piece, kind) in enumerate(pieces):
        on_progress(number / num_files, piece.name)
        table[kind].append(_piece(bench, piece, kind))
    synth = Synth(1) if struck else None
    for number, (ground, name) in enumerate(struck, len(pieces)):
        assert synth is not None
        on_progress(number / num_files, name)
        table["stingers"].append(_stinger(bench, ground, name, synth))
    write_tables(request, table, folder)
    return {**table, "out": str(folder), "files": num_files, "wall_seconds": round(time.monotonic() - began, 3)}


def _piece(bench: _Bench, piece: Piece, kind: str) -> dict[str, Any]:
    paths = [bench.folder / kind / f"{piece.name}{ending}" for ending in bench.endings]
    is_loop = kind == "loops"
    job = RenderJob(
        take=piece.take,
        num_frames=piece.num_frames,
        out=paths[0],
        config=bench.config,
        also=tuple(paths[1:]),
        from_frame=piece.from_frame,
        stems=bench.folder / kind / "stems" if is_loop and bench.request.table.stems else None,
    )
    report = export(job, make_generator=bench.make_generator)
    ground = piece.ground
    beats = piece.num_frames // ground.beat_frames
    for path in paths:
        if path.suffix == ".wav":
            bars = range(0, beats, BEATS_PER_BAR)
            _note_bars(path, [(bar * ground.beat_frames, f"bar {bar // BEATS_PER_BAR + 1}") for bar in bars])
    told = {
        "name": piece.name,
        **({"from": ground.state, "to": piece.begun} if piece.begun is not None else {"state": ground.state}),
        "files": [str(path.relative_to(bench.folder)) for path in paths],
        "frames": piece.num_frames,
        "seconds": piece.num_frames / SAMPLE_RATE,
        "beats": beats,
        "bpm": ground.bpm,
        "key": ground.key,
        "lufs": report["loudness"]["lufs"],
    }
    if piece.intensity is not None:
        told["intensity"] = piece.intensity
    if report["stems"]:
        told["stems"] = {layer: str(Path(path).relative_to(bench.folder)) for layer, path in report["stems"].items()}
    return told


def _note_bars(path: Path, cues: list[tuple[int, str]]) -> None:
    with naming(path), path.open("r+b") as file:
        append_cues(file, cues)


def _stinger(bench: _Bench, ground: Ground, name: str, synth: Synth) -> dict[str, Any]:
    opening, seed = stinger_opening(bench.request, ground), bench.request.seed
    sound = stinger_sound(opening, seed, name, synth)
    traits = bench.make_generator(bench.config).traits
    tags = {"comment": provenance_of(Take(opening, seed), traits, has_picture=False).comment_with_aigc()}
    paths = [bench.folder / "stingers" / f"{file_name(ground.state)}--{file_name(name)}{end}" for end in bench.endings]
    for path in paths:
        with Target(path).open(bench.folder) as file:
            write_within_peak(file, [sound], len(sound), format_of(path), tags, _TRUE_PEAK_DB)
    return {
        "name": name,
        "state": ground.state,
        "files": [str(path.relative_to(bench.folder)) for path in paths],
        "frames": len(sound),
        "seconds": len(sound) / SAMPLE_RATE,
        "bpm": ground.bpm,
        "key": ground.key,
    }
