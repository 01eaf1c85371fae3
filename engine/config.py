"""Sizes and choices of the engine, checked when made. No framework imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import UnknownDevice

DEVICES = ("auto", "cpu", "cuda")

SPARE_CODE_FOLDER = "UNDERSONG_SPARE_CODE_FOLDER"
"""The environment's word to child processes: a temporary folder for compiled code, where no other can be written."""

# Part of the model, as its sizes are; module and kernels must agree on them.
ROPE_BASE = 10_000.0
NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of the score transformer; stored in the checkpoint's manifest."""

    num_layers: int = 6
    dim: int = 256
    num_heads: int = 4
    num_kv_heads: int = 1
    ffn_dim: int = 704
    field_dim: int = 128
    """Width of the small heads that choose position, value, duration and velocity one after another."""
    window: int = 384
    """How many events, itself included, an event attends to."""

    def __post_init__(self) -> None:
        assert self.dim % self.num_heads == 0, (self.dim, self.num_heads)
        assert self.num_heads % self.num_kv_heads == 0, (self.num_heads, self.num_kv_heads)
        assert self.head_dim % 2 == 0, self.head_dim

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def kv_dim(self) -> int:
        return self.num_kv_heads * self.head_dim


LARGE = ModelConfig(num_layers=12, dim=512, num_heads=8, num_kv_heads=2, ffn_dim=1024, field_dim=256, window=512)
"""28 M parameters, six times those of the shipped one, in layers no wider than the CPU's kernels take: for a card to
train, and for either to play."""

TINY = ModelConfig(num_layers=2, dim=64, num_heads=4, num_kv_heads=2, ffn_dim=96, field_dim=32, window=48)
"""For tests that need a model and not its music."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine process is made of.

    Raises `UnknownDevice`.
    """

    backend: str = "score"
    """One of `engine.backends.GENERATORS`."""
    device: str = "auto"
    max_slots: int = 64
    checkpoint: Path | None = None
    """A folder with `manifest.json` and the weights it names; None is the one shipped in the package."""
    patches: Path | None = None
    """A folder of patch files beside those that ship; a file of the same name stands for the shipped one."""
    soundfont: Path | None = None
    """A soundfont, SF2 or SF3, that the instruments of General MIDI and the drums are played with."""

    num_threads: int | None = None
    """Threads of the synth on the CPU; None: as many as help an engine that shares its cores with no other."""

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UnknownDevice(self.device, DEVICES)
        assert self.max_slots >= 1, self.max_slots
