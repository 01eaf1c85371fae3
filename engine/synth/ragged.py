"""Runs of rows, one for each slot of a call, as renderers take them. Remembers nothing; any thread."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Ragged(NamedTuple):
    """A run of rows for every slot of a call: `rows` one after another, slot k's from first[k] to first[k + 1]."""

    rows: npt.NDArray[Any]
    first: npt.NDArray[np.int64]

    def of(self, k: int) -> npt.NDArray[Any]:
        return self.rows[self.first[k] : self.first[k + 1]]
