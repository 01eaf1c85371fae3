"""Patches: the instruments as data. In: tables of the TOML files; out: PATCH records that the kernels read.

Remembers nothing; any thread. What cannot be used raises `PatchError` with file, line, value and range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.envelopes import ATTACK_OVERSHOOT
from engine.synth.patching.fields import LISTS, NUMBERS, WORDS
from engine.synth.patching.patch_file import PatchFile
from engine.synth.sources.kind import Fields, Kind
from engine.synth.sources.kinds import KIND_NAMES, KINDS
from engine.synth.sources.spectra import FIELDS, LIST_FIELDS, PAIR_FIELDS, Spectrum
from engine.synth.sources.tones import tone_names

_DECAYS = {"attack": "attack_s", "decay": "decay_s", "release": "release_s"} | {
    name: f"{name}_decay_s" for kind in KINDS for name in kind.decays
}
_TRAITS: Fields = (("is_pitched", np.int32), ("slurs", np.int32), ("most_slide_octaves", np.float64))
"""Of the patch's kind, where the voices' kernels look for them."""
_ZONES: Fields = (
    ("first_zone", np.int32), ("num_zones", np.int32), ("zone_key", np.float64), ("zone_semitones", np.float64),
)  # fmt: skip
"""Where the zones of a patch's spectrum lie; `tables.load_tables` fills them in."""


def _once(fields: Fields) -> list[tuple[Any, ...]]:
    """Fields that several kinds have are one field of the record."""
    found = dict((field[0], field) for field in fields)
    assert all(found[field[0]] == field for field in fields), fields
    return list(found.values())


PATCH = np.dtype(
    _once((
        ("kind", np.int32),
        *_TRAITS,
        *((name, np.int32) for words in WORDS.values() for name in words),
        *((name, np.float64) for numbers in NUMBERS.values() for name in numbers),
        *((f"{name}_share", np.float64) for name in _DECAYS),
        *_ZONES,
        *(field for kind in KINDS for field in kind.derived),
    )),
    align=True,  # a card reads no number across a word's end
)  # fmt: skip
"""The number of the kind, its traits, what the files say, and what follows from it; see `Kind`."""


def plain_patch(kind: Kind) -> npt.NDArray[np.void]:
    """A PATCH record in which every field has its default; what is derived is missing."""
    patch = np.zeros((), PATCH)
    patch["kind"] = KINDS.index(kind)
    for trait, _ in _TRAITS:
        patch[trait] = getattr(kind, trait)
    for field, limits in NUMBERS[kind.name].items():
        patch[field] = limits[2]
    for field, (known_words, default) in WORDS[kind.name].items():
        patch[field] = known_words.index(default)
    return patch


def read_patch(file: PatchFile, name: str) -> npt.NDArray[np.void]:
    """The table `name` of `file` as a PATCH record; `tables.load_tables` fills in where its spectrum and so on lie."""
    fields = file.tables[name]
    kind = KINDS[file.word(name, "kind", fields.get("kind"), KIND_NAMES)]
    patch = plain_patch(kind)
    numbers, words, known_lists = NUMBERS[kind.name], WORDS[kind.name], LISTS[kind.name]
    lists: dict[str, npt.NDArray[np.float64]] = {}
    named = {"kind"} | ({"spectrum"} if kind.has_spectrum else set()) | ({"tone"} if kind.has_tone else set())
    named |= {"soundfont"} if kind.plays_soundfont else set()
    for field, value in fields.items():
        if field in numbers:
            patch[field] = file.number(name, field, value, numbers[field])
        elif field in words:
            patch[field] = file.word(name, field, value, words[field][0])
        elif field in known_lists:
            lists[field] = np.array(file.numbers(name, field, value, known_lists[field]))
        elif field not in named:
            known = ", ".join(sorted({*named, *words, *numbers, *known_lists}))
            raise file.fail(name, field, f"{field} is no field of kind {kind.name!r}; known are {known}")
    _derive(file, name, kind, patch, lists)
    return patch


def _derive(
    file: PatchFile, name: str, kind: Kind, patch: npt.NDArray[np.void], lists: dict[str, npt.NDArray[np.float64]]
) -> None:
    """What the kernels take from a patch's numbers and lists, in the form in which they take it."""
    group = kind.equally_long
    if len({len(lists.get(field, ())) for field in group}) > 1:
        raise file.fail(name, group[0], f"{', '.join(group[:-1])} and {group[-1]} must be given and equally long")
    if kind.derive is not None:
        kind.derive(file, name, patch, lists)
    set_shares(patch)


def set_shares(patch: npt.NDArray[np.void]) -> None:
    """Work out how far a frame takes each envelope from its times."""
    for share, seconds in _DECAYS.items():
        reach = np.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1)) if share == "attack" else np.log(1000.0)
        patch[f"{share}_share"] = -np.expm1(-reach / (max(float(patch[seconds]), 1e-3) * SAMPLE_RATE))


def read_spectrum(file: PatchFile, name: str) -> Spectrum:
    """The table `name` of spectra.toml; pairs may be given as one number."""
    values: dict[str, Any] = {field: limits[2] for field, limits in FIELDS.items()}
    for field, value in file.tables[name].items():
        if field in LIST_FIELDS:
            limits = LIST_FIELDS[field]
            if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
                raise file.fail(name, field, f"{field} is {value!r}; allowed is a list of lists")
            if any(len(item) != len(limits) for item in value):
                raise file.fail(name, field, f"{field} has an item that is not {len(limits)} numbers long")
            values[field] = tuple(
                tuple(file.number(name, field, number, limit) for number, limit in zip(item, limits, strict=True))
                for item in value
            )
        elif field in PAIR_FIELDS and isinstance(value, list) and len(value) == 2:
            values[field] = tuple(file.number(name, field, number, FIELDS[field]) for number in value)
        elif field in FIELDS:
            values[field] = file.number(name, field, value, FIELDS[field])
        elif field == "tone":
            file.word(name, field, value, tone_names())
            values[field] = value
        else:
            known = ", ".join(sorted({"tone", *FIELDS, *LIST_FIELDS}))
            raise file.fail(name, field, f"{field} is no field of a spectrum; known are {known}")
    for field in PAIR_FIELDS:
        if not isinstance(values[field], tuple):
            values[field] = (values[field], values[field])
    if values["highest_key"] < values["lowest_key"] + values["zone_semitones"]:
        raise file.fail(name, "highest_key", "highest_key must be a zone_semitones above lowest_key or more")
    return Spectrum(**{"tone": "", **dict.fromkeys(LIST_FIELDS, ()), **values})
