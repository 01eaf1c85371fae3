"""Patches: the instruments as data. In: tables of the TOML files; out: PATCH records that the kernels read.

Remembers nothing; any thread. What cannot be used raises `PatchError` with file, line, value and range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.patching.fields import (
    EQUALLY_LONG,
    FIRST_WAVE,
    KINDS,
    LISTS,
    NUMBERS,
    SPECTRUM,
    SPECTRUM_LISTS,
    SPECTRUM_PAIRS,
    WORDS,
)
from engine.synth.patching.patch_file import PatchFile
from engine.synth.sources.additive import body_response, spectrum
from engine.synth.sources.modal import body_ratios
from engine.synth.sources.spectra import Spectrum
from engine.synth.sources.strings import body_filters
from engine.synth.state import ATTACK_OVERSHOOT, BODY_POINTS, MAX_HARMONICS, MAX_PARTIALS, MAX_TICKS, NUM_BODY_MODES

Lists = dict[str, npt.NDArray[np.float64]]

_SHARES = {
    "attack": "attack_s", "decay": "decay_s", "release": "release_s", "index": "index_decay_s", "tine": "tine_decay_s",
    "second": "second_decay_s",
}  # fmt: skip
_WHOLE = (
    "kind", "wave", "filter", "body", "num_modes", "num_duty", "num_arpeggio", "first_zone", "num_zones",
)  # fmt: skip
_NAMES = dict.fromkeys(name for numbers in NUMBERS.values() for name in numbers)

PATCH = np.dtype(
    [(name, np.int32) for name in _WHOLE]
    + [(name, np.float64) for name in _NAMES]
    + [(f"{name}_share", np.float64) for name in _SHARES]
    + [(name, np.float64) for name in ("zone_key", "zone_semitones")]
    + [(name, np.float64, (MAX_PARTIALS,)) for name in ("ratios", "amplitudes")]
    + [(name, np.float64, (NUM_BODY_MODES,)) for name in ("body_turn", "body_loss", "body_gain")]
    + [(name, np.float64, (MAX_HARMONICS,)) for name in ("soft", "loud")]
    + [("response", np.float64, (BODY_POINTS,))]
    + [(name, np.float64, (MAX_TICKS,)) for name in ("duty", "arpeggio")],
    align=True,  # a card reads no number across a word's end
)
"""The fields of the files; of six times the share of the way that one frame goes; where an ensemble's zones lie; a
string's body as band-passes; of an additive instrument both spectra and the body's response."""


def read_patch(file: PatchFile, name: str) -> npt.NDArray[np.void]:
    """The table `name` of `file` as a PATCH record; an ensemble's zones are filled in by `tables.load_tables`."""
    fields = file.tables[name]
    patch = np.zeros((), PATCH)
    patch["kind"] = file.word(name, "kind", fields.get("kind"), KINDS)
    kind = KINDS[patch["kind"]]
    numbers, words, known_lists = NUMBERS[kind], WORDS[kind], LISTS[kind]
    for field, limits in numbers.items():
        patch[field] = limits[2]
    if kind in FIRST_WAVE:
        patch["wave"] = words["wave"].index(FIRST_WAVE[kind])
    lists: Lists = {}
    for field, value in fields.items():
        if field in numbers:
            patch[field] = file.number(name, field, value, numbers[field])
        elif field in words:
            patch[field] = file.word(name, field, value, words[field])
        elif field in known_lists:
            lists[field] = np.array(file.numbers(name, field, value, known_lists[field]))
        elif field != "kind" and (field != "spectrum" or kind != "ensemble"):
            known = ", ".join(sorted({"kind", *words, *numbers, *known_lists}))
            raise file.fail(name, field, f"{field} is no field of kind {kind!r}; known are {known}")
    _fill_lists(file, name, kind, lists, patch)
    for share, seconds in _SHARES.items():
        reach = np.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1)) if share == "attack" else np.log(1000.0)
        patch[f"{share}_share"] = -np.expm1(-reach / (max(float(patch[seconds]), 1e-3) * SAMPLE_RATE))
    return patch


def _fill_lists(file: PatchFile, name: str, kind: str, lists: Lists, patch: npt.NDArray[np.void]) -> None:
    """What the kernels take from a patch's lists, in the form in which they take it."""
    group = EQUALLY_LONG.get(kind, ())
    if len({len(lists.get(field, ())) for field in group}) > 1:
        raise file.fail(name, group[0], f"{', '.join(group[:-1])} and {group[-1]} must be given and equally long")
    empty = np.zeros(0)
    body_hz, body_db = lists.get("body_hz", empty), lists.get("body_db", empty)
    if kind in ("modal", "drum"):
        _fill_modes(file, name, lists, patch)
    elif kind == "pluck":
        filters = body_filters(body_hz, body_db, lists.get("body_q", empty))
        patch["body_turn"], patch["body_loss"], patch["body_gain"] = filters
    elif kind == "additive":
        for dynamic in ("soft", "loud"):
            levels_db = lists.get(f"{dynamic}_db", np.zeros(1))
            patch[dynamic] = spectrum(levels_db, float(patch[f"{dynamic}_slope_db"]))
        patch["response"] = body_response(body_hz, body_db, lists.get("body_width_hz", empty))
    elif kind == "chip":
        for field, default in (("duty", [0.5]), ("arpeggio", [0.0])):
            values = lists.get(field, np.array(default))
            patch[field][: len(values)], patch[f"num_{field}"] = values, len(values)


def _fill_modes(file: PatchFile, name: str, lists: Lists, patch: npt.NDArray[np.void]) -> None:
    """Give a struck patch its ratios, those listed or those of its body, and as many amplitudes."""
    count = len(lists["ratios"]) if "ratios" in lists else int(patch["num_partials"])
    if KINDS[patch["kind"]] == "modal" and count == 0:
        raise file.fail(name, None, "ratios or num_partials must be given")
    amplitudes = lists.get("amplitudes", np.ones(count))
    if len(amplitudes) != count:
        raise file.fail(name, "amplitudes", f"there are {len(amplitudes)} amplitudes for {count} partials")
    ratios = lists.get("ratios", body_ratios(WORDS["modal"]["body"][patch["body"]], count))
    if len(ratios) != count:
        raise file.fail(name, "num_partials", f"num_partials is {count}; allowed of this body is 0 … {len(ratios)}")
    patch["ratios"][:count] = ratios
    patch["amplitudes"][:count], patch["num_modes"] = amplitudes, count


def read_spectrum(file: PatchFile, name: str) -> Spectrum:
    """The table `name` of spectra.toml; pairs may be given as one number."""
    values: dict[str, Any] = {field: limits[2] for field, limits in SPECTRUM.items()}
    for field, value in file.tables[name].items():
        if field in SPECTRUM_LISTS:
            limits = SPECTRUM_LISTS[field]
            if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
                raise file.fail(name, field, f"{field} is {value!r}; allowed is a list of lists")
            if any(len(item) != len(limits) for item in value):
                raise file.fail(name, field, f"{field} has an item that is not {len(limits)} numbers long")
            values[field] = tuple(
                tuple(file.number(name, field, number, limit) for number, limit in zip(item, limits, strict=True))
                for item in value
            )
        elif field in SPECTRUM_PAIRS and isinstance(value, list) and len(value) == 2:
            values[field] = tuple(file.number(name, field, number, SPECTRUM[field]) for number in value)
        elif field in SPECTRUM:
            values[field] = file.number(name, field, value, SPECTRUM[field])
        else:
            known = ", ".join(sorted({*SPECTRUM, *SPECTRUM_LISTS}))
            raise file.fail(name, field, f"{field} is no field of a spectrum; known are {known}")
    for field in SPECTRUM_PAIRS:
        if not isinstance(values[field], tuple):
            values[field] = (values[field], values[field])
    if values["highest_key"] < values["lowest_key"] + values["zone_semitones"]:
        raise file.fail(name, "highest_key", "highest_key must be a zone_semitones above lowest_key or more")
    return Spectrum(**{**dict.fromkeys(SPECTRUM_LISTS, ()), **values})
