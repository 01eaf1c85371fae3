"""Soundfonts as the flat tables that the kernels read. In: banks and presets; out: samples, regions, modulators.

Remembers what it has been asked for until it is asked for the tables. One thread calls it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.errors import SoundFontError
from engine.synth.soundfonts.bank import Bank, Sample, Zone
from engine.synth.soundfonts.generators import (
    END_OFFSET,
    EXCLUSIVE_CLASS,
    LIMITS,
    LOOP_END_OFFSET,
    LOOP_START_OFFSET,
    ROOT_KEY,
    SAMPLE_MODES,
    START_OFFSET,
)
from engine.synth.soundfonts.modulators import VELOCITY, Input
from engine.synth.sources.sampler import LINEAR, MODULATOR, NUM_GENERATORS, REGION, SWITCH, packed_input

_GUARD_FRAMES = 8
"""Silence between recordings that are put one after another."""
_PAGE_FRAMES = 2048
"""Of memory: what is mapped is read by the page."""
_LOOP_MODES = (1, 3)


class _Arrays(NamedTuple):
    samples: npt.NDArray[np.int16]
    regions: npt.NDArray[np.void]
    modulators: npt.NDArray[np.void]


class Recordings:
    """Collects the presets that patches play."""

    def __init__(self) -> None:
        self._banks: dict[Path, Bank] = {}
        self._found: dict[tuple[Path, int, int], tuple[int, int]] = {}
        self._zones: list[tuple[Bank, Zone, Sample]] = []

    @property
    def files(self) -> tuple[Path, ...]:
        """All that have been opened."""
        return tuple(self._banks)

    def open(self, file: Path) -> Bank:
        """Raises `SoundFontError`."""
        if file not in self._banks:
            self._banks[file] = Bank(file)
        return self._banks[file]

    def place(self, bank: Bank, number: int, program: int) -> tuple[int, int]:
        """The first region and the number of regions of a preset. Raises `SoundFontError`."""
        key = (bank.file, number, program)
        if key not in self._found:
            zones = bank.zones(number, program)
            self._found[key] = len(self._zones), len(zones)
            self._zones += [(bank, zone, bank.sample(zone.sample)) for zone in zones]
        return self._found[key]

    def exclusive_class(self, first: int, count: int, key: int) -> int:
        """Of the drum that a kit's regions have at `key`; 0 is none."""
        zones = [zone for _, zone, _ in self._zones[first : first + count] if zone.keys[0] <= key <= zone.keys[1]]
        return max((int(zone.generators.get(EXCLUSIVE_CLASS, 0)) for zone in zones), default=0)

    def arrays(self) -> _Arrays:
        """The tables of all that was placed, of one row at least. Raises `SoundFontError`."""
        samples, starts, lengths = self._gather()
        regions = np.zeros(max(1, len(self._zones)), REGION)
        rows: list[tuple[int, int, int, float]] = []
        for region, (bank, zone, sample), start, length in zip(regions, self._zones, starts, lengths, strict=False):
            region["first_modulator"] = len(rows)
            rows += _fill(region, bank, zone, sample, start, length)
            region["num_modulators"] = len(rows) - region["first_modulator"]
        return _Arrays(samples, regions, np.array(rows or [(0, 0, 0, 0.0)], MODULATOR))

    def _gather(self) -> tuple[npt.NDArray[np.int16], list[int], list[int]]:
        """All recordings in one array; where each zone's begins and how long it is.

        Those of a single bank that are not compressed are read where they lie in its file.
        """
        banks = {bank.file: bank for bank, _, _ in self._zones}
        if len(banks) == 1 and not any(sample.is_compressed for _, _, sample in self._zones):
            (bank,) = banks.values()
            for _, _, sample in self._zones:
                # Brought into memory now, and not when a note begins.
                bank.frames[sample.start : sample.end : _PAGE_FRAMES].max()
            return (
                bank.frames, [sample.start for *_, sample in self._zones],
                [sample.end - sample.start for *_, sample in self._zones],
            )  # fmt: skip
        guard = np.zeros(_GUARD_FRAMES, np.int16)
        parts, end = [guard], len(guard)
        placed: dict[tuple[Path, Sample], tuple[int, int]] = {}
        for bank, _, sample in self._zones:
            if (bank.file, sample) not in placed:
                frames = bank.decode(sample)
                placed[bank.file, sample] = end, len(frames)
                parts += [frames, guard]
                end += len(frames) + len(guard)
        found = [placed[bank.file, sample] for bank, _, sample in self._zones]
        return np.concatenate(parts), [start for start, _ in found], [length for _, length in found]


def _fill(
    region: np.void, bank: Bank, zone: Zone, sample: Sample, start: int, length: int
) -> list[tuple[int, int, int, float]]:
    """Set a REGION from its zone, whose recording is `length` frames from `start`; returns rows of its modulators."""
    values = zone.generators

    def moved(offset: tuple[int, int]) -> int:
        fine, coarse = offset
        return int(values.get(fine, 0) + 32_768 * values.get(coarse, 0))

    first, end = moved(START_OFFSET), length + moved(END_OFFSET)
    loop_start, loop_end = sample.loop_start + moved(LOOP_START_OFFSET), sample.loop_end + moved(LOOP_END_OFFSET)
    mode = int(values.get(SAMPLE_MODES, 0)) & 3
    loops = mode if mode in _LOOP_MODES else 0
    if not 0 <= first < end <= length:
        raise SoundFontError(
            bank.file, f"a zone has frames {first} … {end} of its sample {sample.name!r}, which has {length}"
        )
    if loops and not 0 <= loop_start < loop_end <= length:
        raise SoundFontError(
            bank.file, f"its sample {sample.name!r} of {length} frames has a loop of {loop_start} … {loop_end}"
        )
    region["low_key"], region["high_key"] = zone.keys
    region["low_velocity"], region["high_velocity"] = zone.velocities
    region["start"], region["end"] = start + first, start + end
    region["loop_start"], region["loop_end"], region["loops"] = start + loop_start, start + loop_end, loops
    region["exclusive"] = values.get(EXCLUSIVE_CLASS, 0)
    region["rate"] = sample.rate / SAMPLE_RATE
    root = values[ROOT_KEY] if values[ROOT_KEY] >= 0 else sample.key
    rows: list[tuple[int, int, int, float]] = []
    for modulator in zone.modulators:
        amount, packed = float(modulator.amount), []
        for each in modulator.inputs:
            if each.follows_note:
                packed.append(_packed(each))
            else:
                packed.append(0)
                amount *= each.value_at_rest
        if modulator.generator >= NUM_GENERATORS or modulator.transform or amount == 0.0:
            continue
        if any(packed):
            rows.append((modulator.generator, packed[0], packed[1], amount))
        else:
            values[modulator.generator] = values.get(modulator.generator, 0.0) + amount
    for number, value in values.items():
        if number < NUM_GENERATORS:
            low, high = LIMITS.get(number, (-32_768, 32_767))
            region["generators"][number] = min(max(value, low), high)
    # The key's own share of the pitch is the generator's, so the root's is taken by the same.
    region["root_cents"] = region["generators"][56] * root - sample.correction_cents
    return rows


def _packed(each: Input) -> int:
    return packed_input(
        is_velocity=each.number == VELOCITY, curve=each.curve if each.curve <= SWITCH else LINEAR,
        is_negative=each.is_negative, is_bipolar=each.is_bipolar,
    )  # fmt: skip
