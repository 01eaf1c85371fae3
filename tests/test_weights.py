"""A checkpoint is what its manifest says, or it is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.errors import BadCheckpoint
from engine.weights import MANIFEST_NAME, WEIGHTS_NAME, read_checkpoint, sha256_of, shipped_checkpoint


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(shipped_checkpoint(), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_the_shipped_checkpoint_is_whole_and_small_and_says_where_it_comes_from() -> None:
    sizes, tensors, manifest = read_checkpoint(shipped_checkpoint())
    assert sum(value.size for value in tensors.values()) == manifest["parameters"] >= 4_000_000
    assert (shipped_checkpoint() / WEIGHTS_NAME).stat().st_size <= 25 * 2**20
    assert {"command", "training", "data", "curve"} <= manifest.keys()
    assert sizes.num_layers == len([name for name in tensors if name.endswith(".qkv.weight")])


def test_a_changed_byte_is_named_with_both_hashes(copy: Path) -> None:
    expected = sha256_of(copy / WEIGHTS_NAME)
    content = bytearray((copy / WEIGHTS_NAME).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS_NAME).write_bytes(content)
    with pytest.raises(BadCheckpoint) as caught:
        read_checkpoint(copy)
    assert WEIGHTS_NAME in str(caught.value)
    assert expected in str(caught.value)
    assert sha256_of(copy / WEIGHTS_NAME) in str(caught.value)


@pytest.mark.parametrize("missing", [WEIGHTS_NAME, MANIFEST_NAME])
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(BadCheckpoint, match=f"{missing}.*no such file"):
        read_checkpoint(copy)


@pytest.mark.parametrize("content", [b"{", b"{}", b"[1]", b"7", b"\xff\xfe{", b"[" * 100_000])
def test_a_manifest_that_cannot_be_used_is_refused(copy: Path, content: bytes) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(BadCheckpoint):
        read_checkpoint(copy)


@pytest.mark.parametrize(("field", "value"), [("file", 5), ("bytes", None), ("model", "x"), ("model", {"wheels": 4})])
def test_a_field_that_cannot_be_used_is_refused(copy: Path, field: str, value: object) -> None:
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest | {field: value}))
    with pytest.raises(BadCheckpoint):
        read_checkpoint(copy)
