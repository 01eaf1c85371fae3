"""All patches, kits and styles as the flat tables that the kernels read. In: a folder of TOML; out: `PatchTables`.

Remembers the shipped tables; any thread. A file that cannot be used raises `PatchError` with file, line, value and
range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.notes import DRUM_PITCHES
from engine.synth.errors import PatchError, SoundFontError
from engine.synth.patching.patch import PATCH, read_patch, read_spectrum
from engine.synth.patching.patch_file import PatchFile
from engine.synth.patching.recordings import Recordings
from engine.synth.patching.soundfont_band import play_soundfont
from engine.synth.sources.kinds import KIND_NAMES, KINDS
from engine.synth.sources.spectra import ZONE, Spectrum, build_spectrum
from engine.synth.sources.tones import build_noise, read_tone, tone_names
from engine.synth.sources.wavetables import build_waves
from engine.synth.targets import (
    AMBIENCE_DB,
    AMBIENCES,
    MIX_FIELDS,
    NUM_TONES,
    ROOM_AMBIENCES,
    ROOM_FIELDS,
    ROOM_TONES,
    TONE_RANGE,
)
from moods.intent import LAYERS, STYLES

SHIPPED = files("engine.synth") / "patches"
MAX_CHOICES = 8
"""Instruments of one layer of one style, and kits of a style, at most; a slot's seed chooses among them."""

_SENDS = ("reverb_db", "delay_db", "chorus_db")
DRUMS = LAYERS.index("drums")


class Tables(NamedTuple):
    """The arrays of `PatchTables`, as the kernels take them."""

    patches: npt.NDArray[np.void]
    choices: npt.NDArray[np.int32]
    kits: npt.NDArray[np.int32]
    mix: npt.NDArray[np.float64]
    rooms: npt.NDArray[np.float64]
    waves: npt.NDArray[np.float32]
    zones: npt.NDArray[np.void]
    samples: npt.NDArray[np.int16]
    regions: npt.NDArray[np.void]
    modulators: npt.NDArray[np.void]


@dataclass(frozen=True)
class PatchTables:
    """Everything the kernels read. `names` gives the patches in table order."""

    names: tuple[str, ...]
    patches: npt.NDArray[np.void]  # [P] PATCH
    choices: npt.NDArray[np.int32]  # [styles, layers, MAX_CHOICES] index into patches, -1 past the last; drums: kits
    kits: npt.NDArray[np.int32]  # [kits, 128] index into patches by drum pitch, -1 where no drum is
    mix: npt.NDArray[np.float64]  # [styles, layers, MIX_FIELDS]; decibels as amplitudes, but for the duck's
    rooms: npt.NDArray[np.float64]  # [styles, ROOM_FIELDS, then the equaliser's gains, then the ambiences' levels]
    waves: npt.NDArray[np.float32]  # the tables of `wavetables.build_waves`, those of the spectra, noise and tones
    zones: npt.NDArray[np.void]  # [Z] ZONE of the spectra
    samples: npt.NDArray[np.int16]  # the soundfonts' recordings
    regions: npt.NDArray[np.void]  # [R] REGION of the soundfonts
    modulators: npt.NDArray[np.void]  # [M] MODULATOR of the regions
    soundfonts: tuple[Path, ...]  # the files of the recordings

    def kind(self, name: str) -> str:
        """Of a patch."""
        return KIND_NAMES[self.patches["kind"][self.names.index(name)]]

    def flat(self) -> Tables:
        return Tables(*(getattr(self, name) for name in Tables._fields))

    def alone(self, name: str, **fields: float) -> PatchTables:
        """Tables in which every layer and drum is one patch, some of its fields changed, without mix or room."""
        index = self.names.index(name)
        patches, choices = self.patches.copy(), np.full_like(self.choices, -1)
        for field, value in fields.items():
            patches[field][index] = value
        choices[..., 0] = index
        choices[:, DRUMS, 0] = 0
        mix, rooms = np.zeros_like(self.mix), np.zeros_like(self.rooms)
        for column, (field, limits) in enumerate(MIX_FIELDS.items()):
            mix[..., column] = 0.0 if field in _SENDS else _mix_value(field, limits[2])
        rooms[:, : len(ROOM_FIELDS)] = [limits[2] for limits in ROOM_FIELDS.values()]
        kits = np.full_like(self.kits, index)
        return replace(self, patches=patches, choices=choices, kits=kits, mix=mix, rooms=rooms)


def _mix_value(field: str, number: float) -> float:
    """As the kernels take it: decibels as an amplitude, but for the duck's depth."""
    return 10 ** (number / 20) if field.endswith("_db") and field != "duck_db" else number


def _index(file: PatchFile, table: str, field: str, name: object, names: list[str]) -> int:
    if name not in names:
        raise file.fail(table, field, f"{field} names {name!r}, which is in no file")
    return names.index(str(name))


def _read_instruments(
    opened: list[PatchFile], spectra_file: PatchFile, soundfont: Path | None, recordings: Recordings
) -> tuple[list[str], npt.NDArray[np.void], npt.NDArray[np.float32], npt.NDArray[np.void]]:
    """Names and records of all patches, the flat array of waves, and the zones of the spectra.

    Patches without a `soundfont` of their own play the one that is given.
    """
    spectra = {name: read_spectrum(spectra_file, name) for name in spectra_file.tables}
    names: list[str] = []
    patches, players, followers = [], [], []
    for file in opened:
        for name, fields in file.tables.items():
            if name in names:
                raise file.fail(name, None, "the patch is defined twice")
            names.append(name)
            patches.append(read_patch(file, name))
            if KINDS[patches[-1]["kind"]].has_spectrum:
                file.word(name, "spectrum", fields.get("spectrum"), tuple(spectra))
                players.append((len(patches) - 1, fields["spectrum"]))
            if KINDS[patches[-1]["kind"]].plays_soundfont:
                _place_regions(file, name, patches[-1], soundfont, recordings)
            if KINDS[patches[-1]["kind"]].has_tone:
                file.word(name, "tone", fields.get("tone"), tone_names())
                followers.append((len(patches) - 1, fields["tone"]))
    records = np.array(patches, PATCH)
    waves, zones = _place_spectra(spectra, players, records)
    return names, records, np.concatenate([waves, *_place_tones(followers, records, len(waves))]), zones


def _place_regions(
    file: PatchFile, name: str, patch: npt.NDArray[np.void], soundfont: Path | None, recordings: Recordings
) -> None:
    """Tell the patch where the regions of its preset are."""
    asked = file.tables[name].get("soundfont", soundfont)
    if not isinstance(asked, str | Path) or not str(asked):
        raise file.fail(name, "soundfont", f"soundfont is {asked!r}; allowed is the name of a file, SF2 or SF3")
    number, program = int(patch["bank"]), int(patch["program"])
    try:
        bank = recordings.open(file.folder / asked if isinstance(asked, str) else asked)
        if (number, program) not in bank.presets:
            known = ", ".join(f"{bank}:{program}" for bank, program in sorted(bank.presets))
            raise file.fail(name, "program", f"bank:program is {number}:{program}; {bank.file.name} has {known}")
        patch["first_region"], patch["num_regions"] = recordings.place(bank, number, program)
    except SoundFontError as error:
        raise file.fail(name, "soundfont", str(error)) from error


def _place_spectra(
    spectra: dict[str, Spectrum], players: list[tuple[int, str]], patches: npt.NDArray[np.void]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.void]]:
    """Build the spectra that `players` (patch, spectrum) ask for, and tell the patches where their zones are."""
    parts, zones = [build_waves()], [np.zeros(0, ZONE)]
    end, num_zones = len(parts[0]), 0
    for name in sorted({name for _, name in players}):
        waves, own = build_spectrum(spectra[name])
        own = own.copy()
        own["soft"] += end
        own["loud"] += end
        for index in (index for index, wanted in players if wanted == name):
            patches["first_zone"][index], patches["num_zones"][index] = num_zones, len(own)
            patches["zone_key"][index] = spectra[name].lowest_key
            patches["zone_semitones"][index] = spectra[name].zone_semitones
        parts.append(waves)
        zones.append(own)
        end, num_zones = end + len(waves), num_zones + len(own)
    return np.concatenate(parts), np.concatenate(zones)


def _place_tones(
    followers: list[tuple[int, str]], patches: npt.NDArray[np.void], first: int
) -> list[npt.NDArray[np.float32]]:
    """The noise and the tones that `followers` (patch, tone) ask for, which are told that they lie from `first` on."""
    parts = [build_noise()]
    end = first + len(parts[0])
    for name in sorted({name for _, name in followers}):
        tone = read_tone(name)
        for index in (index for index, wanted in followers if wanted == name):
            patch = patches[index]
            patch["tone_noise"], patch["tone"] = first, end
            patch["tone_keys"], patch["tone_dynamics"] = tone.levels.shape[:2]
            patch["tone_key"], patch["tone_step"], patch["tone_holds"] = tone.lowest_key, tone.key_step, tone.holds
        parts.append(tone.levels.reshape(-1))
        end += tone.levels.size
    return parts


def _read_kits(file: PatchFile, names: list[str]) -> npt.NDArray[np.int32]:
    kits = np.full((len(file.tables), 128), -1, np.int32)
    for row, (kit, drums) in enumerate(file.tables.items()):
        for pitch, drum in DRUM_PITCHES.items():
            if drum not in drums:
                raise file.fail(kit, None, f"the drum {drum!r} is missing")
            kits[row, pitch] = _index(file, kit, drum, drums[drum], names)
    return kits


def _read_style(file: PatchFile, style: str, tables: PatchTables, kits: list[str]) -> None:
    fields = file.tables.get(style)
    if fields is None:
        raise file.fail(style, None, f"the style {style!r} is missing")
    row = STYLES.index(style)
    for column, (field, limits) in enumerate(ROOM_FIELDS.items()):
        tables.rooms[row, column] = file.number(style, field, fields.get(field, limits[2]), limits)
    tones = fields.get("tone_db", [TONE_RANGE[2]] * NUM_TONES)
    if not isinstance(tones, list) or len(tones) != NUM_TONES:
        raise file.fail(style, "tone_db", f"tone_db is {tones!r}; allowed is one number for each of {NUM_TONES} bands")
    for band, number in enumerate(tones):
        tables.rooms[row, ROOM_TONES.start + band] = file.number(style, "tone_db", number, TONE_RANGE)
    if (ambience := fields.get("ambience", "none")) != "none":
        kind = file.word(style, "ambience", ambience, AMBIENCES)
        level_db = file.number(style, "ambience_db", fields.get("ambience_db", AMBIENCE_DB[2]), AMBIENCE_DB)
        tables.rooms[row, ROOM_AMBIENCES.start + kind] = 10 ** (level_db / 20)
    for layer, layer_name in enumerate(LAYERS):
        chosen = fields.get(layer_name)
        if not isinstance(chosen, list) or not 1 <= len(chosen) <= MAX_CHOICES:
            allowed = f"allowed is a list of 1 … {MAX_CHOICES} {'kits' if layer_name == 'drums' else 'patches'}"
            raise file.fail(style, layer_name, f"{layer_name} is {chosen!r}; {allowed}")
        names = kits if layer_name == "drums" else list(tables.names)
        indices = [_index(file, style, layer_name, name, names) for name in chosen]
        tables.choices[row, layer, : len(indices)] = indices
        for column, (field, limits) in enumerate(MIX_FIELDS.items()):
            values = fields.get(field, [limits[2]] * len(LAYERS))
            if not isinstance(values, list) or len(values) != len(LAYERS):
                raise file.fail(style, field, f"{field} is {values!r}; allowed is one number per layer of {LAYERS}")
            tables.mix[row, layer, column] = _mix_value(field, file.number(style, field, values[layer], limits))


def load_tables(*folders: Traversable, soundfont: Path | None = None) -> PatchTables:
    """Read `kits.toml`, `styles.toml`, `spectra.toml` and every other *.toml of `folders` as instruments.

    A file of a later folder stands for the one of the same name in an earlier. With a `soundfont` its presets take the
    place of the instruments and kits that General MIDI has. Raises `PatchError`; a patch defined twice, a missing drum,
    a missing style and a folder that cannot be read are errors too. Raises `SoundFontError`.
    """
    sources: dict[str, Traversable] = {}
    for folder in folders:
        try:
            sources |= {item.name: item for item in folder.iterdir() if item.name.endswith(".toml")}
        except OSError as error:
            raise PatchError(str(folder), 1, f"the folder cannot be read: {error.strerror}") from error
    opened = {name: PatchFile(sources[name]) for name in sorted(sources)}
    needed = ("kits.toml", "styles.toml", "spectra.toml")
    for name in needed:
        if name not in opened:
            raise PatchError(name, 1, "the file is missing")
    kits_file, styles_file, spectra_file = (opened.pop(name) for name in needed)
    recordings = Recordings()
    names, patches, waves, zones = _read_instruments(list(opened.values()), spectra_file, soundfont, recordings)
    kits, kit_names = _read_kits(kits_file, names), list(kits_file.tables)
    if soundfont is not None:
        patches = play_soundfont(recordings.open(soundfont), names, patches, kit_names, kits, recordings)
    num_styles, num_layers = len(STYLES), len(LAYERS)
    tables = PatchTables(
        tuple(names),
        patches,
        np.full((num_styles, num_layers, MAX_CHOICES), -1, np.int32),
        kits,
        np.zeros((num_styles, num_layers, len(MIX_FIELDS))),
        np.zeros((num_styles, ROOM_AMBIENCES.stop)),
        waves,
        zones,
        *recordings.arrays(),
        recordings.files,
    )
    for style in STYLES:
        _read_style(styles_file, style, tables, kit_names)
    for unknown in set(styles_file.tables) - set(STYLES):
        raise styles_file.fail(unknown, None, f"{unknown!r} is no style; known are {', '.join(STYLES)}")
    return tables


@cache
def shipped_tables() -> PatchTables:
    """The tables of the patches that ship with the package."""
    return load_tables(SHIPPED)
