"""A training on disk: `training.json` and the safetensors shards it names, each small enough to be sent anywhere.

In: tensors in groups and plain values; out: the same, on whichever device the next run has. Remembers nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import BadCheckpoint
from engine.weights import sha256_of

SHARD_BYTES = 15 * 2**20
"""A file of this many bytes and its header stay below 16 MiB."""
TRAINING_NAME = "training.json"

Groups = Mapping[str, Mapping[str, Tensor]]
"""Tensors by name, by what they are for: a reader may do without a whole group."""


def write_training(folder: Path, groups: Groups, values: Mapping[str, Any]) -> None:
    """Replace what lies in `folder` at once or not at all. `values` are JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*.safetensors"))
    listed: dict[str, list[dict[str, str]]] = {}
    for group, tensors in groups.items():
        listed[group] = []
        for index, shard in enumerate(_shards(tensors)):
            file = folder / f"{values['step']:06}-{group}-{index:02}.safetensors"
            save_file(shard, file)
            listed[group].append({"file": file.name, "sha256": sha256_of(file)})
    partial = folder / "training.partial"
    partial.write_text(json.dumps({**values, "shards": listed}, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / TRAINING_NAME)
    named = {folder / row["file"] for rows in listed.values() for row in rows}
    for file in before - named:
        file.unlink()


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    num_bytes = 0
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        assert own.nbytes <= SHARD_BYTES, (name, own.shape)
        if shard and num_bytes + own.nbytes > SHARD_BYTES:
            yield shard
            shard, num_bytes = {}, 0
        shard[name] = own
        num_bytes += own.nbytes
    if shard:
        yield shard


def read_training(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Groups of tensors and the values; None where no training lies. A group of which no shard is there is left out.

    Raises `BadCheckpoint` for a shard that is missing beside others of its group or is not as it was written.
    """
    file = folder / TRAINING_NAME
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        listed = values.pop("shards")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        raise BadCheckpoint(file, "JSON that names its shards", str(error)) from None
    groups: dict[str, dict[str, Tensor]] = {}
    for group, rows in listed.items():
        if any((folder / row["file"]).is_file() for row in rows):
            groups[group] = {name: tensor for row in rows for name, tensor in _read_shard(folder, row).items()}
    return groups, values


def _read_shard(folder: Path, row: dict[str, str]) -> dict[str, Tensor]:
    file = folder / row["file"]
    found = sha256_of(file) if file.is_file() else None
    if found != row["sha256"]:
        raise BadCheckpoint(file, f"sha256 {row['sha256']}", "no such file" if found is None else f"sha256 {found}")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise BadCheckpoint(file, "a safetensors file", str(error)) from None
