"""The card's synth is the CPU's: simulated, on a card where there is one, and compiled for one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest

from engine.errors import DeviceMissing
from engine.notes import SOUND
from engine.synth.patching.tables import shipped_tables
from engine.synth.state import new_state
from engine.synth.synth import Synth
from tests.synth.card import Arrays, CardWork
from tests.synth.two_stations import CALLS, NUM_BEFORE, PITCHED, render

WORST_DB = -90.0
"""Measured in the simulator: no difference but of plucked strings, -143 dB, whose float32 sums numpy rounds sooner."""


def difference_db(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((one - other) ** 2) / np.mean(one**2) + 1e-30))


def check(cpu: Arrays, cuda: Arrays) -> None:
    for kind in PITCHED:
        blocks = cpu[f"blocks {kind}"]
        assert np.abs(blocks).max() > 0.05, kind
        assert difference_db(blocks, cuda[f"blocks {kind}"]) < WORST_DB, kind
        assert difference_db(cpu[f"stems {kind}"], cuda[f"stems {kind}"]) < WORST_DB, kind
        rest = blocks[1:, :, sum(CALLS[:NUM_BEFORE]) :]
        assert difference_db(rest, cuda[f"moved {kind}"]) < WORST_DB, kind


@pytest.mark.long
@pytest.mark.slow
def test_a_call_copies_once_to_the_card_and_once_back(card_work: CardWork) -> None:
    _, cuda = card_work.simulated()
    assert cuda["copies"].tolist() == [1, 1]


@pytest.mark.long
@pytest.mark.slow
def test_the_simulated_card_renders_what_the_cpu_does(card_work: CardWork) -> None:
    cpu, cuda = card_work.simulated()
    check(cpu, cuda)
    # And back again: what the card remembers, the CPU goes on from.
    back = render("cpu", cuda)
    for kind in PITCHED:
        assert difference_db(cuda[f"moved {kind}"], back[f"moved {kind}"]) < WORST_DB, kind


@pytest.mark.gpu
def test_the_card_renders_what_the_cpu_does() -> None:
    from numba import cuda

    if not cuda.is_available():
        pytest.skip("numba finds no CUDA device")
    cpu = render("cpu", {})
    check(cpu, render("cuda", cpu))


@pytest.mark.long
@pytest.mark.slow
def test_kernels_compile_for_a_card_that_is_not_there(card_work: CardWork) -> None:
    """All of them to PTX of compute capability 9.0, the H100's."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip('numba-cuda is not installed; pip install "undersong[gpu]"')
    code = card_work.compiled()
    assert ".target sm_90" in code and ".visible .entry" in code


def numbers_of(record: np.dtype) -> Iterator[tuple[str, np.dtype, int]]:
    """Name, type and offset of every number of a record and of the records in it."""
    for field, (kind, offset, *_) in record.fields.items():
        if kind.base.fields:
            yield from ((f"{field}.{name}", number, offset + more) for name, number, more in numbers_of(kind.base))
        else:
            yield field, kind.base, offset


def test_no_number_of_a_record_crosses_a_word() -> None:
    """A card cannot read one that does."""
    arrays = [*new_state(0), *shipped_tables().flat(), np.zeros(1, SOUND)]
    for kind in (array.dtype for array in arrays if array.dtype.fields):
        for field, number, offset in numbers_of(kind):
            assert offset % number.itemsize == 0 and kind.itemsize % number.itemsize == 0, field


def test_a_missing_card_is_named() -> None:
    from numba import cuda

    if cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(DeviceMissing, match="use --device cpu"):
        Synth(1, device="cuda")
