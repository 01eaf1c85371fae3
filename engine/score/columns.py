"""Named columns of all slots, each declared once: by the field of a named tuple that compiled code reads.

In: a named tuple's class; out: its arrays, all rows as when a slot begins. Remembers nothing; any thread.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Seeds = npt.NDArray[np.uint64]

_Columns = TypeVar("_Columns", bound=tuple[npt.NDArray[Any], ...])


class Column:
    """What a slot has in a column: an array of `shape`, each number `initial` when the slot is opened.

    `is_carried`: it goes from one beat into the next.
    """

    def __init__(self, *shape: int, initial: int = 0, is_carried: bool = False) -> None:
        self.shape, self.initial, self.is_carried = shape, initial, is_carried


class _Declared(NamedTuple):
    column: Column
    kind: np.dtype[Any]


@cache
def declared(columns: type[_Columns]) -> dict[str, _Declared]:
    """The columns of a named tuple whose fields are `Annotated[array, Column(…)]`, by name."""
    found = {}
    for name, hint in get_type_hints(columns, include_extras=True).items():
        array, column = get_args(hint)
        found[name] = _Declared(column, np.dtype(get_args(get_args(array)[1])[0]))
    return found


def make_columns(columns: type[_Columns], num_slots: int) -> _Columns:
    """The columns of `num_slots` slots."""
    return columns(*(_rows(num_slots, column, kind) for column, kind in declared(columns).values()))


def _rows(num_slots: int, column: Column, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeros are pages that cost nothing until they are used."""
    shape = (num_slots, *column.shape)
    return np.full(shape, column.initial, kind) if column.initial else np.zeros(shape, kind)


def reset_row(columns: tuple[npt.NDArray[Any], ...], slot: int) -> None:
    """Make a slot's row in columns made by `make_columns` what it is when a slot begins."""
    for array, (column, _) in zip(columns, declared(type(columns)).values(), strict=True):
        array[slot] = column.initial
