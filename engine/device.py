"""Which processor the engine uses. In: the word that was asked for; out: "cpu" or "cuda". Start-up only."""

from __future__ import annotations

from engine.errors import DeviceMissing


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
