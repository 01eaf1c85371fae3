"""Measures the instruments of `instruments.toml` on banks of recordings. Run offline:

    python -m engine.training.instruments BANKS_FOLDER [NAMES] [--report]

BANKS_FOLDER holds the SoundFonts that `instruments.toml` names; `engine/synth/tones/NAME.safetensors` is written of
each instrument. What recordings tell of playing (release, vibrato, …) is printed, for the patches.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engine.synth.sources.tones import LIFE_STEP_DB, NUM_TIMES, STEP_DB
from engine.training.instruments.bank import Preset, play_notes
from engine.training.instruments.measure import Note, measure_note

LIST = Path(__file__).parent / "instruments.toml"
OUT = Path(__file__).parents[2] / "synth" / "tones"
HELD_S, TAIL_S = 4.0, 1.5
SILENT = 1e-4


def measure(fields: dict[str, Any], banks: Path) -> tuple[list[int], list[list[Note]]]:
    """An instrument's keys and of each of them its notes, soft to loud."""
    preset = Preset(banks / fields["file"], fields.get("bank", 0), fields["program"])
    velocities = fields["velocities"]
    asked = range(fields["keys"][0], fields["keys"][1] + 1, fields.get("step", 3))
    sounds = play_notes(preset, [(key, velocity) for key in asked for velocity in velocities], HELD_S, TAIL_S)
    by_key = dict(zip(asked, sounds.reshape(len(asked), len(velocities), -1), strict=True))
    # A bank has nothing to say of keys that its instrument does not reach.
    keys = [key for key, notes in by_key.items() if np.abs(notes).max(axis=1).min() > SILENT]
    assert len(keys) == (keys[-1] - keys[0]) // asked.step + 1, keys
    return keys, [
        [
            measure_note(sound, 440 * 2 ** ((key - 69) / 12), HELD_S, fields["holds"], fields.get("many", False))
            for sound in by_key[key]
        ]
        for key in keys
    ]


def write_tone(file: Path, fields: dict[str, Any], keys: list[int], notes: list[list[Note]]) -> None:
    rows = np.array([[note.rows for note in dynamics] for dynamics in notes])
    rows[:, :, :NUM_TIMES] /= STEP_DB
    rows[:, :, NUM_TIMES:] /= LIFE_STEP_DB
    save_file(
        {
            "levels": np.clip(np.rint(rows), -128, 127).astype(np.int8),
            "keys": np.array(keys, np.int16),
            "holds": np.array([fields["holds"]], np.uint8),
        },
        file,
        {"source": f"{fields['file']}, bank {fields.get('bank', 0)}, program {fields['program']}"},
    )


def playing(notes: list[list[Note]]) -> dict[str, float]:
    """Medians of what is of no key."""
    every = [note for dynamics in notes for note in dynamics]
    fields = ("release_s", "vibrato_cents", "vibrato_hz", "wander_db", "stretch")
    return {field: round(float(np.median([getattr(note, field) for note in every])), 5) for field in fields}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.instruments", description=__doc__)
    parser.add_argument("banks", type=Path)
    parser.add_argument("names", nargs="*", help="of instruments; default: all")
    options = parser.parse_args(arguments)
    instruments = tomllib.loads(LIST.read_text(encoding="utf-8"))
    for name in options.names or instruments:
        keys, notes = measure(instruments[name], options.banks)
        write_tone(OUT / f"{name}.safetensors", instruments[name], keys, notes)
        print(json.dumps({"name": name, "keys": len(keys), **playing(notes)}), flush=True)


if __name__ == "__main__":
    main()
