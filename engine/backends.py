"""The one place that knows every generator. In: `EngineConfig`; out: a `Generator`. Start-up only."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from engine.compile import compiled_beside, is_compiled
from engine.config import EngineConfig
from engine.errors import DeviceMissing
from engine.generator import Generator
from engine.score.composer import Composer, num_rows
from engine.score.generator import ScoreGenerator
from engine.score.sampling import choose_events, pack_heads
from engine.score.trunk import CpuTrunk, TorchTrunk, Trunk
from engine.synth.errors import PatchError
from engine.synth.mixer import compile_parts, render_slot
from engine.synth.patching.tables import SHIPPED, PatchTables, load_tables, shipped_tables
from engine.synth.synth import Synth
from engine.weights import read_checkpoint, shipped_checkpoint


def choose_device(device: str) -> str:
    """`auto` is the CPU: on one station it answers sooner than a card. Raises `DeviceMissing`."""
    if device in ("auto", "cpu"):
        return "cpu"
    try:
        import numba_cuda  # noqa: F401 - the synth will need it
        import torch
    except ImportError as error:
        raise DeviceMissing(device, f'{error} (pip install "undersong[gpu]" brings it)') from None
    if not torch.cuda.is_available():
        raise DeviceMissing(device, "torch finds no CUDA device")
    return device


def _read_tables(folder: Path | None) -> PatchTables:
    """The shipped patches with those of `folder`, or without them and a warning: no patch keeps music from playing."""
    if folder is None:
        return shipped_tables()
    try:
        return load_tables(SHIPPED, folder)
    except PatchError as error:
        logging.getLogger("undersong").warning("%s (patches of %s); the shipped ones play instead", error, folder)
        return shipped_tables()


def open_generator(config: EngineConfig) -> Generator:
    """Load the checkpoint and make the generator that `config` names.

    Raises `BadCheckpoint`, `DeviceMissing`.
    """
    device = choose_device(config.device)
    sizes, tensors, _ = read_checkpoint(config.checkpoint or shipped_checkpoint())
    trunk: Trunk
    if device == "cpu":
        trunk = CpuTrunk(tensors, sizes, num_rows(config.max_slots))
    else:
        trunk = TorchTrunk(tensors, sizes, num_rows(config.max_slots), device)
    composer = Composer(trunk, pack_heads(tensors), config.max_slots)
    if device == "cpu" and not (is_compiled(render_slot) and is_compiled(choose_events)):
        with compiled_beside("engine.synth.synth"):
            compile_parts()
            composer.warm_up()
    # More threads would only queue behind the front process and the encoders.
    num_threads = min(4, os.cpu_count() or 1)
    synth = Synth(config.max_slots, device=device, num_threads=num_threads, tables=_read_tables(config.patches))
    return ScoreGenerator(composer, synth, config.max_slots)
