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
from engine.synth.additive import body_response, spectrum
from engine.synth.errors import PatchError
from engine.synth.state import BODY_POINTS, MAX_HARMONICS, MAX_PARTIALS, NUM_BODY_MODES
from engine.synth.strings import body_filters
from moods.intent import LAYERS, STYLES

KINDS = ("analog", "fm", "pluck", "modal", "drum", "additive")
ANALOG, FM, PLUCK, MODAL, DRUM, ADDITIVE = range(len(KINDS))
_WORDS = {"wave": ("sine", "triangle", "saw", "pulse"), "filter": ("lowpass", "bandpass", "highpass")}
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
# Of every instrument but drums: slow motion of filter and pitch, noise beside the tone (breath, hammer, bow), and how
# it is played: slurs that glide, notes begun below their pitch, chords spread and onsets loosened (always later).
_LIFE: dict[str, Range] = {
    "motion_octaves": (0, 3, 0), "motion_hz": (0.02, 8, 0.15), "drift_cents": (0, 30, 0),
    "noise_hz": (100, 16_000, 3000), "noise_sustain": (0, 1, 0), "release_noise": (0, 1, 0),
    "jitter_cents": (0, 20, 0), "glide_s": (0, 1, 0), "slur_share": (0, 1, 1), "scoop_cents": (-300, 300, 0),
    "scoop_s": (0.01, 1, 0.1), "scoop_share": (0, 1, 1), "strum_s": (0, 0.02, 0), "looseness_s": (0, 0.02, 0),
}  # fmt: skip
_KIND_FIELDS: dict[str, dict[str, Range]] = {
    "analog": {
        "num_oscillators": (1, 4, 1), "detune_cents": (0, 50, 0), "width": (0, 1, 0), "pulse_width": (0.05, 0.5, 0.5),
        "sub_level": (0, 1, 0), **_LIFE,
    },
    "fm": {
        "carrier_ratio": (0.25, 8, 1), "modulator_ratio": (0.25, 16, 1), "index": (0, 8, 1),
        "index_sustain": (0, 1, 0.2), "index_decay_s": (0.005, 10, 0.8), "tine_ratio": (0.5, 24, 14),
        "tine_level": (0, 1, 0), "tine_decay_s": (0.005, 6, 0.4), **_LIFE,
    },
    "pluck": {
        "ring_s": (0.05, 20, 3), "ring_tracking": (0, 1, 0.4), "treble_s": (0.02, 10, 0.6), "stiffness": (0, 0.85, 0),
        "second_cents": (0, 10, 0), "pick_position": (0.02, 0.5, 0.15), "pick_hz": (200, 16_000, 4000),
        "pick_noise": (0, 1, 0.05), "pick_level": (0, 1, 1), "repick_hz": (0, 20, 0), "knock": (0, 2, 0),
        "bow_level": (0, 1, 0), **_LIFE,
    },
    "additive": {
        "soft_slope_db": (-40, 0, -15), "loud_slope_db": (-40, 0, -9), "bloom": (0, 1, 0.5), "roughness": (0, 0.5, 0),
        "speak_s": (0.002, 1, 0.05), "arch_db": (0, 6, 0), "vibrato_db": (0, 9, 0), **_LIFE,
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
# Lists of a kind: low, high, longest.
_KIND_LISTS: dict[str, dict[str, tuple[float, float, int]]] = {
    "modal": {"ratios": (0.25, 40.0, MAX_PARTIALS), "amplitudes": (0.0, 1.0, MAX_PARTIALS)},
    "pluck": {
        "body_hz": (40, 8000, NUM_BODY_MODES), "body_db": (0, 24, NUM_BODY_MODES), "body_q": (1, 60, NUM_BODY_MODES),
    },
    "additive": {
        "soft_db": (-80, 12, MAX_HARMONICS), "loud_db": (-80, 12, MAX_HARMONICS), "body_hz": (50, 16_000, 16),
        "body_db": (-40, 24, 16), "body_width_hz": (20, 10_000, 16),
    },
}  # fmt: skip
_EQUALLY_LONG = (("ratios", "amplitudes"), ("body_hz", "body_db", "body_q"), ("body_hz", "body_db", "body_width_hz"))
_SHARES = {
    "attack": "attack_s", "decay": "decay_s", "release": "release_s", "index": "index_decay_s", "tine": "tine_decay_s",
}  # fmt: skip
_NUMBERS = {**_COMMON, **{name: limits for fields in _KIND_FIELDS.values() for name, limits in fields.items()}}

PATCH = np.dtype(
    [("kind", np.int32), ("wave", np.int32), ("filter", np.int32), ("num_modes", np.int32)]
    + [(name, np.float64) for name in _NUMBERS]
    + [(f"{name}_share", np.float64) for name in _SHARES]
    + [(name, np.float64, (MAX_PARTIALS,)) for name in _KIND_LISTS["modal"]]
    + [(name, np.float64, (NUM_BODY_MODES,)) for name in ("body_turn", "body_loss", "body_gain")]
    + [(name, np.float64, (MAX_HARMONICS,)) for name in ("soft", "loud")]
    + [("body", np.float64, (BODY_POINTS,))]
)
"""The fields of the files, of five times the share of the way that one frame goes, a string's body as band-passes, and
of an additive instrument both spectra and the body's response."""

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


def _read_list(file: _File, table: str, field: str, value: object, limits: tuple[float, float, int]) -> list[float]:
    low, high, longest = limits
    if not isinstance(value, list) or not 1 <= len(value) <= longest:
        raise file.fail(table, field, f"{field} is {value!r}; allowed is a list of 1 … {longest} numbers")
    return [file.number(table, field, item, (low, high, 0)) for item in value]


def _fill_tables(patch: npt.NDArray[np.void], kind: str, lists: dict[str, npt.NDArray[np.float64]]) -> None:
    """What the kernels take from a patch's lists instead of the lists themselves."""
    empty = np.zeros(0)
    body_hz, body_db = lists.get("body_hz", empty), lists.get("body_db", empty)
    if kind == "modal":
        patch["num_modes"] = len(lists["ratios"])
        for name, values in lists.items():
            patch[name][: len(values)] = values
    elif kind == "pluck":
        filters = body_filters(body_hz, body_db, lists.get("body_q", empty))
        patch["body_turn"], patch["body_loss"], patch["body_gain"] = filters
    elif kind == "additive":
        for name in ("soft", "loud"):
            patch[name] = spectrum(lists.get(f"{name}_db", np.zeros(1)), float(patch[f"{name}_slope_db"]))
        patch["body"] = body_response(body_hz, body_db, lists.get("body_width_hz", empty))


def _read_patch(file: _File, name: str, fields: dict[str, Any]) -> npt.NDArray[np.void]:
    patch = np.zeros((), PATCH)
    kind = fields.get("kind")
    if kind not in KINDS:
        raise file.fail(name, "kind", f"kind is {kind!r}; allowed is one of {', '.join(KINDS)}")
    numbers, known_lists = {**_COMMON, **_KIND_FIELDS[kind]}, _KIND_LISTS.get(kind, {})
    lists: dict[str, npt.NDArray[np.float64]] = {}
    for field, limits in numbers.items():
        patch[field] = limits[2]
    patch["kind"], patch["wave"] = KINDS.index(kind), _WORDS["wave"].index("saw")
    for field, value in fields.items():
        if field in numbers:
            patch[field] = file.number(name, field, value, numbers[field])
        elif field in _WORDS and (field != "wave" or kind == "analog"):
            if value not in _WORDS[field]:
                raise file.fail(name, field, f"{field} is {value!r}; allowed is one of {', '.join(_WORDS[field])}")
            patch[field] = _WORDS[field].index(value)
        elif field in known_lists:
            lists[field] = np.array(_read_list(file, name, field, value, known_lists[field]))
        elif field != "kind":
            known = ", ".join(sorted({"kind", "filter", *numbers, *known_lists}))
            raise file.fail(name, field, f"{field} is no field of kind {kind!r}; known are {known}")
    for group in _EQUALLY_LONG:
        lengths = {len(lists.get(field, ())) for field in group}
        if set(group) <= set(known_lists) and (len(lengths) > 1 or (kind == "modal" and lengths == {0})):
            raise file.fail(name, group[0], f"{', '.join(group[:-1])} and {group[-1]} must be given and equally long")
    _fill_tables(patch, kind, lists)
    for share, seconds in _SHARES.items():
        reach = np.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1)) if share == "attack" else np.log(1000.0)
        patch[f"{share}_share"] = -np.expm1(-reach / (max(float(patch[seconds]), 1e-3) * SAMPLE_RATE))
    return patch


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
    """Read `kits.toml`, `styles.toml` and every other *.toml of `folder` as instruments.

    Raises `PatchError`; a patch defined twice, a missing drum and a missing style are errors too.
    """
    sources = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    opened = {item.name: _File(item) for item in sources}
    for needed in ("kits.toml", "styles.toml"):
        if needed not in opened:
            raise PatchError(needed, 1, "the file is missing")
    kits_file, styles_file = opened.pop("kits.toml"), opened.pop("styles.toml")
    names: list[str] = []
    patches = []
    for file in opened.values():
        for name, fields in file.tables.items():
            if name in names:
                raise file.fail(name, None, "the patch is defined twice")
            names.append(name)
            patches.append(_read_patch(file, name, fields))
    num_styles, num_layers = len(STYLES), len(LAYERS)
    tables = PatchTables(
        tuple(names),
        np.array(patches, PATCH),
        np.full((num_styles, num_layers, MAX_CHOICES), -1, np.int32),
        np.zeros((num_styles, 128), np.int32),
        np.zeros((num_styles, num_layers, len(MIX_FIELDS))),
        np.zeros((num_styles, len(ROOM_FIELDS))),
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
