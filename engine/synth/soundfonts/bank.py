"""A soundfont's presets and recordings. In: an SF2 or SF3 file; out: zones as the standard means them, and frames.

The file is mapped, not read: of it only what is asked for comes into memory, and processes that play the same bank
share it. Remembers the mapping; any thread. What cannot be used raises `SoundFontError`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.synth.errors import SoundFontError
from engine.synth.soundfonts.generators import (
    ATTENUATION_SHARE,
    DEFAULTS,
    INITIAL_ATTENUATION,
    INSTRUMENT,
    KEY_RANGE,
    NOT_OF_PRESETS,
    SAMPLE,
    VELOCITY_RANGE,
)
from engine.synth.soundfonts.modulators import DEFAULT_MODULATORS, Modulator
from engine.synth.soundfonts.riff import Chunk, read_chunks

MAX_BYTES = 2**30
"""Of a file: more than any bank for General MIDI has."""

_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_MODULATOR = np.dtype(
    [("source", "<u2"), ("generator", "<u2"), ("amount", "<i2"), ("amount_source", "<u2"), ("transform", "<u2")]
)
_GENERATOR = np.dtype([("number", "<u2"), ("amount", "<i2")])
_RECORDS: Mapping[str, np.dtype[np.void]] = {
    "phdr": np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("spare", "V12")]),
    "pbag": _BAG, "pmod": _MODULATOR, "pgen": _GENERATOR,
    "inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    "ibag": _BAG, "imod": _MODULATOR, "igen": _GENERATOR,
    "shdr": np.dtype([
        ("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"),
        ("rate", "<u4"), ("key", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2"),
    ]),
}  # fmt: skip
"""The last record of each chunk only ends the one before."""
_IN_ROM, _IS_VORBIS = 0x8000, 0x10

Range = tuple[int, int]
_ALL: Range = (0, 127)


class _Zone(NamedTuple):
    """As it stands in the file, or several of them put together."""

    generators: dict[int, int]
    modulators: dict[tuple[int, ...], Modulator]


@dataclass(frozen=True)
class Zone:
    """Of an instrument within a preset: which notes it sounds for, and how."""

    keys: Range
    velocities: Range
    sample: int
    generators: dict[int, float]
    """By number: the instrument's with what the preset adds to them; those without a value have their default."""
    modulators: list[Modulator]


@dataclass(frozen=True)
class Sample:
    """Where a recording lies: frames of the chunk or, where they are compressed, bytes. Its loop counts its frames."""

    name: str
    start: int
    end: int
    loop_start: int
    loop_end: int
    rate: int
    key: int
    correction_cents: int
    is_compressed: bool
    is_in_rom: bool


class Bank:
    """One file. Raises `SoundFontError` where its structure is not one."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            size = file.stat().st_size
            if size > MAX_BYTES:
                raise SoundFontError(file, f"it has {size >> 20} MiB; allowed are {MAX_BYTES >> 20}")
            # Copied on writing, which nobody does, and not read-only: for numba that would be another type.
            self._bytes = np.asarray(np.memmap(file, np.uint8, "c")) if size else np.zeros(0, np.uint8)
        except OSError as error:
            raise SoundFontError(file, f"it cannot be read: {error.strerror}") from error
        chunks = read_chunks(self._bytes, file)
        self._records = {name: self._read_records(chunks, name) for name in _RECORDS}
        if "smpl" not in chunks:
            raise SoundFontError(file, "it has no chunk 'smpl', where recordings are")
        self._recordings = chunks["smpl"]
        self.presets = self._find_presets()

    def _read_records(self, chunks: Mapping[str, Chunk], name: str) -> npt.NDArray[np.void]:
        kind = _RECORDS[name]
        if name not in chunks:
            raise SoundFontError(self.file, f"it has no chunk {name!r}")
        chunk = chunks[name]
        size = chunk.end - chunk.first
        if size % kind.itemsize or size == 0:
            raise SoundFontError(
                self.file, f"its chunk {name!r} is {size} bytes long; allowed are multiples of {kind.itemsize}"
            )
        return np.frombuffer(bytes(self._bytes[chunk.first : chunk.end]), kind)

    def _find_presets(self) -> dict[tuple[int, int], int]:
        """By bank and program; the first of those that share both."""
        found: dict[tuple[int, int], int] = {}
        for index, header in enumerate(self._records["phdr"][:-1]):
            found.setdefault((int(header["bank"]), int(header["program"])), index)
        if not found:
            raise SoundFontError(self.file, "it has no preset")
        return found

    @cached_property
    def frames(self) -> npt.NDArray[np.int16]:
        """All recordings that are not compressed, as they lie in the file."""
        first, end = self._recordings.first, self._recordings.end
        found = self._bytes[first : end - (end - first) % 2]
        # A chunk at an odd byte is against the standard, and cannot be read where it is.
        return (found.copy() if first % 2 else found).view("<i2")

    def preset_name(self, bank: int, program: int) -> str:
        return self._name("phdr", self.presets[bank, program])

    def _name(self, chunk: str, index: int) -> str:
        return bytes(self._records[chunk][index]["name"]).split(b"\0")[0].decode("latin-1").strip()

    def _bags(self, level: str, header: str, index: int) -> Iterator[_Zone]:
        """The zones of a preset ("p") or an instrument ("i"), as they stand there."""
        headers, bags = self._records[header], self._records[f"{level}bag"]
        generators, modulators = self._records[f"{level}gen"], self._records[f"{level}mod"]
        first, last = (int(headers[at]["bag"]) for at in (index, index + 1))
        what = f"{self._name(header, index)!r} of {header!r}"
        if not first <= last < len(bags):
            raise SoundFontError(self.file, f"{what} has the zones {first} … {last}, and there are {len(bags) - 1}")
        for here, there in pairwise(bags[first : last + 1]):
            ends = {
                "gen": (int(here["generator"]), int(there["generator"]), len(generators)),
                "mod": (int(here["modulator"]), int(there["modulator"]), len(modulators)),
            }
            for kind, (begin, end, count) in ends.items():
                if not begin <= end < count:
                    raise SoundFontError(
                        self.file, f"a zone of {what} has {begin} … {end} of '{level}{kind}', and there are {count - 1}"
                    )
            own = generators[slice(*ends["gen"][:2])]
            found = [Modulator(*map(int, row.tolist())) for row in modulators[slice(*ends["mod"][:2])]]
            yield _Zone(
                dict(zip(own["number"].tolist(), own["amount"].tolist(), strict=True)),
                {modulator.identity: modulator for modulator in found},
            )

    def _zones_of(self, level: str, header: str, index: int, last_generator: int) -> Iterator[_Zone]:
        """Likewise, with what the first, global zone says for all the others."""
        common = _Zone({}, {})
        for number, zone in enumerate(self._bags(level, header, index)):
            if last_generator in zone.generators:
                yield _Zone(common.generators | zone.generators, common.modulators | zone.modulators)
            elif number == 0:
                common = zone

    def zones(self, bank: int, program: int) -> list[Zone]:
        """Of a preset that is there."""
        found = []
        for outer in self._zones_of("p", "phdr", self.presets[bank, program], INSTRUMENT):
            instrument = outer.generators[INSTRUMENT]
            if not 0 <= instrument < len(self._records["inst"]) - 1:
                raise SoundFontError(self.file, f"the preset {bank}:{program} names an instrument {instrument}")
            for inner in self._zones_of("i", "inst", instrument, SAMPLE):
                zone = self._zone(outer, inner)
                if zone is not None and not self.sample(zone.sample).is_in_rom:
                    found.append(zone)
        if not found:
            raise SoundFontError(self.file, f"its preset {bank}:{program} has no zone that sounds")
        return found

    def _zone(self, outer: _Zone, inner: _Zone) -> Zone | None:
        """An instrument's zone within a preset's, or None where no note falls into both."""
        ranges = []
        for number in (KEY_RANGE, VELOCITY_RANGE):
            low, high = _ALL
            for zone in (outer, inner):
                if number in zone.generators:
                    amount = zone.generators[number] & 0xFFFF
                    low, high = max(low, amount & 0xFF), min(high, amount >> 8)
            ranges.append((low, high))
            if low > high:
                return None
        values: dict[int, float] = {**DEFAULTS, **inner.generators}
        for number, amount in outer.generators.items():
            if number not in NOT_OF_PRESETS:
                values[number] = values.get(number, 0.0) + amount
        values[INITIAL_ATTENUATION] *= ATTENUATION_SHARE
        modulators = [*(DEFAULT_MODULATORS | inner.modulators).values(), *outer.modulators.values()]
        return Zone(ranges[0], ranges[1], inner.generators[SAMPLE] & 0xFFFF, values, modulators)

    def sample(self, index: int) -> Sample:
        headers = self._records["shdr"]
        if not 0 <= index < len(headers) - 1:
            raise SoundFontError(self.file, f"a zone names the sample {index}, and there are {len(headers) - 1}")
        _, start, end, loop_start, loop_end, rate, key, correction, _, kind = headers[index].tolist()
        name, is_compressed, is_in_rom = self._name("shdr", index), bool(kind & _IS_VORBIS), bool(kind & _IN_ROM)
        size = self._recordings.end - self._recordings.first
        count = size if is_compressed else size // 2
        if not is_in_rom and not (start < end <= count):
            unit = "bytes" if is_compressed else "frames"
            raise SoundFontError(
                self.file, f"its sample {name!r} is {unit} {start} … {end} of the {count} that there are"
            )
        if not is_in_rom and not 400 <= rate <= 192_000:
            raise SoundFontError(self.file, f"its sample {name!r} has {rate} frames a second; allowed are 400 … 192000")
        first = 0 if is_compressed else start
        return Sample(
            name, start, end, loop_start - first, loop_end - first, rate, key if key <= 127 else 60, correction,
            is_compressed, is_in_rom,
        )  # fmt: skip

    def decode(self, sample: Sample) -> npt.NDArray[np.int16]:
        """The frames of a recording, whichever way they are kept."""
        if not sample.is_compressed:
            return self.frames[sample.start : sample.end]
        import soundfile

        first = self._recordings.first
        content = bytes(self._bytes[first + sample.start : first + sample.end])
        try:
            found, _ = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise SoundFontError(
                self.file, f"its sample {sample.name!r} is no Vorbis stream that can be read: {error.error_string}"
            ) from error
        if not len(found):
            raise SoundFontError(self.file, f"its sample {sample.name!r} is a Vorbis stream without frames")
        return np.ascontiguousarray(found[:, 0])
