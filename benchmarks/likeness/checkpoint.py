"""TensorFlow checkpoints without TensorFlow. In: the folder of a V2 checkpoint; out: its tensors. Remembers nothing.

The index is a LevelDB sorted table (https://github.com/google/leveldb/blob/main/doc/table_format.md) whose values are
`BundleEntryProto` messages; the tensors lie one after another in one data file, little-endian. Only what the
benchmark's network needs is read: one shard, float32, blocks that are not compressed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_FLOAT32 = 1


def read_checkpoint(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All float32 tensors of `folder`/.index and .data-00000-of-00001, by name. Raises `OSError`, `ValueError`."""
    index = (folder / ".index").read_bytes()
    data = (folder / ".data-00000-of-00001").read_bytes()
    if struct.unpack_from("<Q", index, len(index) - 8)[0] != _MAGIC:
        raise ValueError(f"{folder}/.index is no sorted table")
    footer = index[-_FOOTER_BYTES:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    tensors = {}
    for _, handle in _entries(index, footer[at:]):
        for key, value in _entries(index, handle):
            entry = _message(value)
            if key and entry.get(1, 0) == _FLOAT32:
                shape = [_message(size).get(1, 0) for size in _repeated(entry.get(2, b""), 2)]
                count = int(np.prod(shape)) if shape else 1
                tensors[key.decode()] = np.frombuffer(data, "<f4", count, entry.get(4, 0)).reshape(shape)
    return tensors


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _entries(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block that `handle` (offset and size) points at; keys share their beginnings."""
    start, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    block = table[start : start + size]
    if table[start + size] != 0:
        raise ValueError("the checkpoint's index is compressed")
    end = size - 4 * (1 + struct.unpack_from("<I", block, size - 4)[0])
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            at += 4 if tag & 7 == 5 else 8


def _message(message: bytes) -> dict[int, int | bytes]:
    return dict(_fields(message))


def _repeated(message: bytes, field: int) -> list[bytes]:
    return [value for number, value in _fields(message) if number == field]
