"""Checkpoints on disk: a folder with `manifest.json` and one safetensors file. In: a folder; out: float32 arrays.

The manifest names the file with its sha256 and size, the model's sizes, and where the weights come from. Any thread.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.config import ModelConfig
from engine.errors import BadCheckpoint

WEIGHTS_NAME = "score.safetensors"
MANIFEST_NAME = "manifest.json"
_MANIFEST_FIELDS = {"file": str, "sha256": str, "bytes": int, "parameters": int, "model": dict}


def shipped_checkpoint() -> Path:
    """The folder of the checkpoint in the package."""
    return Path(str(files("engine") / "checkpoints"))


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises `BadCheckpoint` where the manifest is missing or unreadable."""
    file = folder / MANIFEST_NAME
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadCheckpoint(file, "a manifest", "no such file") from None
    except OSError as error:
        raise BadCheckpoint(file, "a manifest", error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(file, "JSON", str(error)) from None
    fields = manifest if isinstance(manifest, dict) else {}
    for name, kind in _MANIFEST_FIELDS.items():
        if not isinstance(fields.get(name), kind):
            found = repr(fields[name]) if name in fields else "none"
            raise BadCheckpoint(file, f"the field {name!r}, of type {kind.__name__}", found)
    return fields


def verify_checkpoint(folder: Path) -> dict[str, Any]:
    """Check the weights against the manifest and return it. Raises `BadCheckpoint`."""
    manifest = read_manifest(folder)
    file = folder / manifest["file"]
    if not file.is_file():
        raise BadCheckpoint(file, f"sha256 {manifest['sha256']}", "no such file")
    found = sha256_of(file)
    if found != manifest["sha256"]:
        raise BadCheckpoint(file, f"sha256 {manifest['sha256']}", f"sha256 {found}")
    return manifest


def read_checkpoint(folder: Path) -> tuple[ModelConfig, dict[str, npt.NDArray[np.float32]], dict[str, Any]]:
    """Sizes, float32 tensors named as in `ScoreTransformer.state_dict`, and the manifest. Raises `BadCheckpoint`."""
    manifest = verify_checkpoint(folder)
    file = folder / manifest["file"]
    try:
        config = ModelConfig(**manifest["model"])
    except TypeError as error:
        raise BadCheckpoint(folder / MANIFEST_NAME, "the sizes of a score transformer", str(error)) from None
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise BadCheckpoint(file, "a safetensors file", str(error)) from None
    return config, {name: value.astype(np.float32) for name, value in tensors.items()}, manifest


def write_checkpoint(
    folder: Path, config: ModelConfig, tensors: dict[str, npt.NDArray[np.float32]], manifest: dict[str, Any]
) -> None:
    """Write float16 weights and a manifest completed with file, size, sha256 and the model's sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / WEIGHTS_NAME
    save_file({name: np.ascontiguousarray(value.astype(np.float16)) for name, value in tensors.items()}, file)
    file.chmod(0o644)  # safetensors writes for its owner alone, and a checkpoint is to be installed
    completed = {
        "file": WEIGHTS_NAME,
        "sha256": sha256_of(file),
        "bytes": file.stat().st_size,
        "parameters": int(sum(value.size for value in tensors.values())),
        "model": asdict(config),
    } | manifest
    (folder / MANIFEST_NAME).write_text(json.dumps(completed, indent=1) + "\n", encoding="utf-8")
