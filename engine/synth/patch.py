"""Patches: the instruments as data. In: the TOML files of `patches/`; out: the flat tables that the kernels read.

Remembers nothing; any thread. A file that cannot be used raises `PatchError` with file, line, value and range.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.score.piece import DRUM_PITCHES
from engine.synth.errors import PatchError
from engine.synth.spectra import ZONE, Spectrum, build_spectrum
from engine.synth.state import MAX_PARTIALS, MAX_TICKS
from engine.synth.wavetables import WAVES, build_waves
from moods.intent import LAYERS, STYLES

KINDS = ("analog", "fm", "pluck", "modal", "drum", "ensemble", "chip")
ANALOG, FM, PLUCK, MODAL, DRUM, ENSEMBLE, CHIP = range(len(KINDS))
_WORDS = {"wave": (*WAVES, "noise", "metal_noise"), "filter": ("lowpass", "bandpass", "highpass")}
_NUM_WAVES = {"analog": len(WAVES), "chip": len(WAVES) + 2}
"""Which kinds choose a wave, and among how many."""
MAX_CHOICES = 8
"""Instruments of one layer of one style, at most; a slot's seed chooses among them."""

Range = tuple[float, float, float]  # low, high, default

# Times of decay and release are to -60 dB; ring and string times likewise. Levels are amplitudes, *_db decibels.
_COMMON: dict[str, Range] = {
    "level_db": (-40, 24, 0), "pan": (-1, 1, 0), "transpose": (-36, 36, 0),
    "attack_s": (0.0005, 8, 0.002), "decay_s": (0.005, 30, 1), "sustain": (0, 1, 1), "release_s": (0.005, 20, 0.3),
    "cutoff_hz": (20, 20_000, 12_000), "resonance": (0, 0.97, 0), "key_tracking": (0, 1, 0.5),
    "envelope_octaves": (-6, 8, 0), "filter_attack_s": (0.0005, 8, 0.002), "filter_decay_s": (0.005, 30, 0.6),
    "filter_sustain": (0, 1, 0), "velocity_octaves": (0, 6, 1), "brightness_octaves": (0, 6, 1.5),
    "vibrato_cents": (0, 100, 0), "vibrato_hz": (0.1, 12, 5), "vibrato_delay_s": (0, 4, 0.3),
    "tremolo": (0, 1, 0), "tremolo_hz": (0.05, 12, 4), "drive": (0, 8, 0), "noise_level": (0, 1, 0),
    "noise_decay_s": (0.005, 30, 0.1),
}  # fmt: skip
# Of every instrument but drums: slow motion of filter and pitch, and noise beside the tone (breath, hammer, bow).
_LIFE: dict[str, Range] = {
    "motion_octaves": (0, 3, 0), "motion_hz": (0.02, 8, 0.15), "drift_cents": (0, 30, 0),
    "noise_hz": (100, 16_000, 3000), "noise_sustain": (0, 1, 0),
}  # fmt: skip
_KIND_FIELDS: dict[str, dict[str, Range]] = {
    "analog": {
        "num_oscillators": (1, 7, 1), "detune_cents": (0, 50, 0), "width": (0, 1, 0), "pulse_width": (0.05, 0.5, 0.5),
        "pulse_motion": (0, 0.45, 0), "pulse_motion_hz": (0.02, 8, 0.5), "sub_level": (0, 1, 0), **_LIFE,
    },
    "ensemble": {
        "detune_cents": (0, 50, 6), "width": (0, 1, 0.7), "dynamics": (0, 1, 1), "swell": (0, 1, 0),
        "scoop_cents": (0, 200, 0), "scoop_s": (0.01, 2, 0.15), **_LIFE,
    },
    "chip": {
        "volume_decay_s": (0.02, 30, 1), "volume_sustain": (0, 1, 1), "duty_ticks": (1, 60, 1),
        "arpeggio_ticks": (1, 60, 2), "arpeggio_repeats": (0, 1, 0), "clock_ratio": (1, 400, 32), **_LIFE,
    },
    "fm": {
        "carrier_ratio": (0.25, 8, 1), "modulator_ratio": (0.25, 16, 1), "index": (0, 8, 1),
        "index_sustain": (0, 1, 0.2), "index_decay_s": (0.005, 10, 0.8), "tine_ratio": (0.5, 24, 14),
        "tine_level": (0, 1, 0), "tine_decay_s": (0.005, 6, 0.4), **_LIFE,
    },
    "pluck": {
        "string_s": (0.05, 20, 3), "string_damping": (0, 0.5, 0.3), "pick_position": (0.02, 0.5, 0.15),
        "pick_brightness": (0.02, 1, 0.5), "pick_level": (0, 1, 1), "bow_level": (0, 1, 0), **_LIFE,
    },
    "modal": {
        "ring_s": (0.03, 30, 4), "ring_damping": (0, 4, 0.4), "inharmonicity": (0, 0.02, 0), "tilt": (-1, 4, 1),
        **_LIFE,
    },
    "drum": {
        "tone_hz": (20, 8000, 100), "tone_level": (0, 1, 0), "tone_decay_s": (0.005, 6, 0.2),
        "sweep_octaves": (-2, 6, 0), "sweep_s": (0.002, 1, 0.05), "overtone_ratio": (1, 6, 1.6),
        "overtone_level": (0, 1, 0), "metal_hz": (40, 2000, 400), "metal_level": (0, 1, 0),
        "bursts": (0, 4, 0), "choke": (0, 4, 0),
    },
}  # fmt: skip
_LISTS = {"ratios": (0.25, 40.0), "amplitudes": (0.0, 1.0)}
_CHIP_LISTS = {"duty": (0.05, 0.5), "arpeggio": (-24.0, 24.0)}
# Of the spectra that ensembles play; see `spectra.Spectrum`.
_SPECTRUM: dict[str, Range] = {
    "slope_db": (-40, 6, -6), "bass_hz": (10, 4000, 10), "corner_hz": (20, 20_000, 20_000),
    "corner_slope_db": (-60, 0, -12), "even_db": (-60, 6, 0), "bandwidth_cents": (0.1, 400, 20),
    "bandwidth_growth": (0, 2, 1), "steady_db": (-40, 40, 3), "flutter_hz": (0, 20, 0), "flutter_db": (-40, 12, -3),
    "lowest_key": (12, 108, 36), "highest_key": (24, 120, 96), "zone_semitones": (3, 24, 6),
    "short_key": (12, 128, 58),
}  # fmt: skip
_SPECTRUM_PAIRS = ("slope_db", "corner_hz")
_SPECTRUM_LISTS: dict[str, tuple[Range, ...]] = {
    "partials": ((0.25, 64, 1), (-80, 12, 0)), "formants": ((50, 16_000, 1000), (-40, 40, 0), (0.02, 4, 0.3)),
}  # fmt: skip
_SHARES = {
    "attack": "attack_s", "decay": "decay_s", "release": "release_s", "index": "index_decay_s", "tine": "tine_decay_s",
}  # fmt: skip
_NUMBERS = {**_COMMON, **{name: limits for fields in _KIND_FIELDS.values() for name, limits in fields.items()}}

PATCH = np.dtype(
    [("kind", np.int32), ("wave", np.int32), ("filter", np.int32), ("num_modes", np.int32)]
    + [("num_duty", np.int32), ("num_arpeggio", np.int32), ("first_zone", np.int32), ("num_zones", np.int32)]
    + [("zone_key", np.float64), ("zone_semitones", np.float64)]
    + [(name, np.float64) for name in _NUMBERS]
    + [(f"{name}_share", np.float64) for name in _SHARES]
    + [(name, np.float64, (MAX_PARTIALS,)) for name in _LISTS]
    + [(name, np.float64, (MAX_TICKS,)) for name in _CHIP_LISTS]
)
"""The fields of the files, and of five times the share of the way that one frame goes."""

ATTACK_OVERSHOOT = 1.3
"""Attacks aim at this and end at 1."""

_MIX: dict[str, Range] = {
    "level_db": (-24, 12, 0), "reverb_db": (-60, 6, -60), "delay_db": (-60, 6, -60), "chorus_db": (-60, 6, -60),
    "duck_db": (0, 24, 0),
}  # fmt: skip
_ROOM: dict[str, Range] = {
    "reverb_s": (0.2, 12, 1.8), "reverb_damping_hz": (500, 16_000, 5000), "delay_beats": (0.25, 1, 0.75),
    "delay_feedback": (0, 0.8, 0.35), "crackle_db": (-90, -30, -90),
    "drive": (0, 4, 0),
}  # fmt: skip
MIX_FIELDS, ROOM_FIELDS = tuple(_MIX), tuple(_ROOM)


@dataclass(frozen=True)
class PatchTables:
    """Everything the kernels read. `names` gives the patches in table order."""

    names: tuple[str, ...]
    patches: npt.NDArray[np.void]  # [P] PATCH
    choices: npt.NDArray[np.int32]  # [styles, layers, MAX_CHOICES] index into patches, -1 past the last; drums unused
    kits: npt.NDArray[np.int32]  # [styles, 128] index into patches by drum pitch, -1 where no drum is
    mix: npt.NDArray[np.float64]  # [styles, layers, MIX_FIELDS] in decibels
    rooms: npt.NDArray[np.float64]  # [styles, ROOM_FIELDS]
    waves: npt.NDArray[np.float32]  # the tables of `wavetables.build_waves`, then those of the spectra
    zones: npt.NDArray[np.void]  # [Z] ZONE of the spectra


class _File:
    """One TOML file with the place of every table and field, for messages."""

    def __init__(self, source: Traversable) -> None:
        self.name, self.text = source.name, source.read_text(encoding="utf-8")
        try:
            self.tables: dict[str, Any] = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise PatchError(self.name, getattr(error, "lineno", 1), f"not TOML: {error}") from error

    def fail(self, table: str, field: str | None, problem: str) -> PatchError:
        line, inside = 1, False
        for number, text in enumerate(self.text.splitlines(), 1):
            if text.startswith("["):
                inside = text.strip("[] ") == table
                line = number if inside else line
            elif inside and field is not None and text.split("=")[0].strip() == field:
                line = number
        return PatchError(self.name, line, f"[{table}] {problem}")

    def number(self, table: str, field: str, value: object, limits: Range) -> float:
        low, high, _ = limits
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(table, field, f"{field} is {value!r}; allowed is {low:g} … {high:g}")
        return float(value)


def _read_patch(file: _File, name: str, fields: dict[str, Any]) -> npt.NDArray[np.void]:
    patch = np.zeros((), PATCH)
    kind = fields.get("kind")
    if kind not in KINDS:
        raise file.fail(name, "kind", f"kind is {kind!r}; allowed is one of {', '.join(KINDS)}")
    numbers = {**_COMMON, **_KIND_FIELDS[kind]}
    for field, limits in numbers.items():
        patch[field] = limits[2]
    patch["kind"], patch["wave"] = KINDS.index(kind), WAVES.index("pulse" if kind == "chip" else "saw")
    patch["duty"], patch["num_duty"], patch["num_arpeggio"] = 0.5, 1, 1
    for field, value in fields.items():
        if field in numbers:
            patch[field] = file.number(name, field, value, numbers[field])
        elif field == "filter" or (field == "wave" and kind in _NUM_WAVES):
            words = _WORDS[field][: _NUM_WAVES[kind]] if field == "wave" else _WORDS[field]
            if value not in words:
                raise file.fail(name, field, f"{field} is {value!r}; allowed is one of {', '.join(words)}")
            patch[field] = words.index(value)
        elif field in _CHIP_LISTS and kind == "chip":
            if not isinstance(value, list) or not 1 <= len(value) <= MAX_TICKS:
                raise file.fail(name, field, f"{field} is {value!r}; allowed is a list of 1 … {MAX_TICKS} numbers")
            limits = (*_CHIP_LISTS[field], 0)
            patch[field][: len(value)] = [file.number(name, field, item, limits) for item in value]
            patch[f"num_{field}"] = len(value)
        elif field in _LISTS and kind == "modal":
            if not isinstance(value, list) or not 1 <= len(value) <= MAX_PARTIALS:
                raise file.fail(name, field, f"{field} is {value!r}; allowed is a list of 1 … {MAX_PARTIALS} numbers")
            low, high = _LISTS[field]
            patch[field][: len(value)] = [file.number(name, field, item, (low, high, 0)) for item in value]
            patch["num_modes"] = len(value)
        elif field != "kind" and (field != "spectrum" or kind != "ensemble"):
            known = ", ".join(sorted({"kind", "filter", *numbers}))
            raise file.fail(name, field, f"{field} is no field of kind {kind!r}; known are {known}")
    if kind == "modal" and not 0 < len(fields.get("ratios", ())) == len(fields.get("amplitudes", ())):
        raise file.fail(name, "ratios", "ratios and amplitudes must both be given and be equally long")
    for share, seconds in _SHARES.items():
        reach = np.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1)) if share == "attack" else np.log(1000.0)
        patch[f"{share}_share"] = -np.expm1(-reach / (max(float(patch[seconds]), 1e-3) * SAMPLE_RATE))
    return patch


def _read_spectrum(file: _File, name: str, fields: dict[str, Any]) -> Spectrum:
    """A table of spectra.toml; pairs may be given as one number."""
    values: dict[str, Any] = {field: limits[2] for field, limits in _SPECTRUM.items()}
    for field, value in fields.items():
        if field in _SPECTRUM_LISTS:
            limits = _SPECTRUM_LISTS[field]
            if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
                raise file.fail(name, field, f"{field} is {value!r}; allowed is a list of lists")
            if any(len(item) != len(limits) for item in value):
                raise file.fail(name, field, f"{field} has an item that is not {len(limits)} numbers long")
            values[field] = tuple(
                tuple(file.number(name, field, number, limit) for number, limit in zip(item, limits, strict=True))
                for item in value
            )
        elif field in _SPECTRUM_PAIRS and isinstance(value, list) and len(value) == 2:
            values[field] = tuple(file.number(name, field, number, _SPECTRUM[field]) for number in value)
        elif field in _SPECTRUM:
            values[field] = file.number(name, field, value, _SPECTRUM[field])
        else:
            known = ", ".join(sorted({*_SPECTRUM, *_SPECTRUM_LISTS}))
            raise file.fail(name, field, f"{field} is no field of a spectrum; known are {known}")
    for field in _SPECTRUM_PAIRS:
        if not isinstance(values[field], tuple):
            values[field] = (values[field], values[field])
    if values["highest_key"] < values["lowest_key"] + values["zone_semitones"]:
        raise file.fail(name, "highest_key", "highest_key must be a zone_semitones above lowest_key or more")
    return Spectrum(**{**dict.fromkeys(_SPECTRUM_LISTS, ()), **values})


def _place_spectra(
    spectra: dict[str, Spectrum], used: list[tuple[npt.NDArray[np.void], str]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.void]]:
    """The flat array of all tables and the zones; tells the patches of `used` where the zones of their spectrum are."""
    parts, zones, end, num_zones = [build_waves()], [np.zeros(0, ZONE)], len(build_waves()), 0
    for name in sorted({name for _, name in used}):
        tables, own = build_spectrum(spectra[name])
        own = own.copy()
        own["soft"] += end
        own["loud"] += end
        for patch, wanted in used:
            if wanted == name:
                patch["first_zone"], patch["num_zones"] = num_zones, len(own)
                patch["zone_key"] = spectra[name].lowest_key
                patch["zone_semitones"] = spectra[name].zone_semitones
        parts.append(tables)
        zones.append(own)
        end, num_zones = end + len(tables), num_zones + len(own)
    return np.concatenate(parts), np.concatenate(zones)


def _index(file: _File, table: str, field: str, name: object, names: list[str]) -> int:
    if name not in names:
        raise file.fail(table, field, f"{field} names the patch {name!r}, which is in no file")
    return names.index(str(name))


def _read_kits(file: _File, names: list[str]) -> dict[str, npt.NDArray[np.int32]]:
    kits = {}
    for kit, drums in file.tables.items():
        table = np.full(128, -1, np.int32)
        for pitch, drum in DRUM_PITCHES.items():
            if drum not in drums:
                raise file.fail(kit, None, f"the drum {drum!r} is missing")
            table[pitch] = _index(file, kit, drum, drums[drum], names)
        kits[kit] = table
    return kits


def _read_style(
    file: _File, style: str, tables: PatchTables, names: list[str], kits: dict[str, npt.NDArray[np.int32]]
) -> None:
    fields = file.tables.get(style)
    if fields is None:
        raise file.fail(style, None, f"the style {style!r} is missing")
    row = STYLES.index(style)
    if fields.get("kit") not in kits:
        raise file.fail(style, "kit", f"kit is {fields.get('kit')!r}; allowed is one of {', '.join(kits)}")
    tables.kits[row] = kits[fields["kit"]]
    for column, field in enumerate(ROOM_FIELDS):
        value = fields.get(field, _ROOM[field][2])
        tables.rooms[row, column] = file.number(style, field, value, _ROOM[field])
    for layer, layer_name in enumerate(LAYERS):
        chosen = fields.get(layer_name, [])
        if layer_name != "drums":
            if not isinstance(chosen, list) or not 1 <= len(chosen) <= MAX_CHOICES:
                raise file.fail(
                    style, layer_name, f"{layer_name} is {chosen!r}; allowed is a list of 1 … {MAX_CHOICES} patches"
                )
            indices = [_index(file, style, layer_name, name, names) for name in chosen]
            tables.choices[row, layer, : len(indices)] = indices
        for column, field in enumerate(MIX_FIELDS):
            values = fields.get(field, [_MIX[field][2]] * len(LAYERS))
            if not isinstance(values, list) or len(values) != len(LAYERS):
                raise file.fail(style, field, f"{field} is {values!r}; allowed is one number per layer of {LAYERS}")
            tables.mix[row, layer, column] = file.number(style, field, values[layer], _MIX[field])


def load_tables(folder: Traversable) -> PatchTables:
    """Read `kits.toml`, `styles.toml`, `spectra.toml` and every other *.toml of `folder` as instruments.

    Raises `PatchError`; a patch defined twice, a missing drum and a missing style are errors too.
    """
    sources = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    opened = {item.name: _File(item) for item in sources}
    for needed in ("kits.toml", "styles.toml", "spectra.toml"):
        if needed not in opened:
            raise PatchError(needed, 1, "the file is missing")
    kits_file, styles_file = opened.pop("kits.toml"), opened.pop("styles.toml")
    spectra_file = opened.pop("spectra.toml")
    spectra = {name: _read_spectrum(spectra_file, name, fields) for name, fields in spectra_file.tables.items()}
    used = []
    names: list[str] = []
    patches = []
    for file in opened.values():
        for name, fields in file.tables.items():
            if name in names:
                raise file.fail(name, None, "the patch is defined twice")
            names.append(name)
            patches.append(_read_patch(file, name, fields))
            if fields["kind"] == "ensemble":
                spectrum = fields.get("spectrum")
                if spectrum not in spectra:
                    known = ", ".join(spectra)
                    raise file.fail(name, "spectrum", f"spectrum is {spectrum!r}; allowed is one of {known}")
                used.append((patches[-1], spectrum))
    waves, zones = _place_spectra(spectra, used)
    num_styles, num_layers = len(STYLES), len(LAYERS)
    tables = PatchTables(
        tuple(names),
        np.array(patches, PATCH),
        np.full((num_styles, num_layers, MAX_CHOICES), -1, np.int32),
        np.zeros((num_styles, 128), np.int32),
        np.zeros((num_styles, num_layers, len(MIX_FIELDS))),
        np.zeros((num_styles, len(ROOM_FIELDS))),
        waves,
        zones,
    )
    kits = _read_kits(kits_file, names)
    for style in STYLES:
        _read_style(styles_file, style, tables, names, kits)
    for unknown in set(styles_file.tables) - set(STYLES):
        raise styles_file.fail(unknown, None, f"{unknown!r} is no style; known are {', '.join(STYLES)}")
    return tables


@cache
def shipped_tables() -> PatchTables:
    """The tables of the patches that ship with the package."""
    return load_tables(files("engine.synth") / "patches")
