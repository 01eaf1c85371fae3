"""How near patches come to the recordings that their tones were measured on, note by note. Run offline:

    python -m engine.training.instruments.compare BANKS_FOLDER [PATCHES]

prints a line of JSON for each patch that names a tone: the root mean square distance in dB of 64 mel bands, 10 ms
apart, where both notes have the same power as a whole, and the Euclidean distance of 19 cepstral coefficients of them
(the level's is left out), means over keys, most of which were not measured, and two velocities.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.patching.tables import SHIPPED, shipped_tables
from engine.synth.synth import Synth
from engine.training.instruments.__main__ import LIST
from engine.training.instruments.bank import Preset, play_notes
from engine.training.instruments.measure import envelope_of, onset_of
from moods.harmony import Key
from moods.intent import LAYERS, NO_RECALL, STYLES, Intent

HELD_S, HEARD_S = 2.0, 2.4
VELOCITIES = (60, 100)
LEAD = LAYERS.index("lead")
STILL = Intent(
    0, 0.5, 0, (1.0,) + (0.0,) * (len(STYLES) - 1), 100, Key(0, "major"), 0.5, 0.5, (0.0,) * len(LAYERS),
    (True,) * len(LAYERS), 1, -16, 0, 1, 1, "A", 0, None, NO_RECALL, "none", None,
)  # fmt: skip
Float = npt.NDArray[np.float64]


def mel_db(sound: Float) -> Float:
    """64 mel bands of the HEARD_S from the onset, 10 ms apart, beside the mean power and not below -60 dB of it."""
    sound = sound[onset_of(envelope_of(sound)) :][: int(HEARD_S * SAMPLE_RATE)]
    sound = np.pad(sound, (0, int(HEARD_S * SAMPLE_RATE) - len(sound)))
    mel = librosa.feature.melspectrogram(y=sound, sr=SAMPLE_RATE, n_fft=2048, hop_length=480, n_mels=64, fmax=16_000)
    return 10 * np.log10(mel / mel.mean() / 64 + 1e-6)


def distances(one: Float, other: Float) -> tuple[float, float]:
    first, second = mel_db(one), mel_db(other)
    cepstra = [librosa.feature.mfcc(S=mel, n_mfcc=20)[1:] for mel in (first, second)]
    return float(np.sqrt(((first - second) ** 2).mean())), float(np.linalg.norm(cepstra[0] - cepstra[1], axis=0).mean())


def ours(patch: str, key: int, velocity: int) -> Float:
    """A note of the patch by itself, dry."""
    synth = Synth(1, tables=shipped_tables().alone(patch))
    synth.open(0, seed=1)
    synth.play(0, as_sounds([(0, int(HELD_S * SAMPLE_RATE), LEAD, key, velocity)]))
    _, stems = synth.render_stems([0], lambda slot, frame: STILL, int((HEARD_S + 0.2) * SAMPLE_RATE))
    return stems[0, LEAD].mean(axis=0).astype(np.float64)


def compare(patch: str, fields: dict[str, Any], banks: Path) -> dict[str, float]:
    keys = range(fields["keys"][0] + 4, fields["keys"][1] - 3, 7)
    notes = [(key, velocity) for key in keys for velocity in VELOCITIES]
    preset = Preset(banks / fields["file"], fields.get("bank", 0), fields["program"])
    theirs = play_notes(preset, notes, HELD_S, 1.0)
    rows = [distances(ours(patch, *note), sound) for note, sound in zip(notes, theirs, strict=True)]
    spectral_db, cepstral = np.mean(rows, axis=0).round(2)
    return {"notes": len(notes), "spectral_db": float(spectral_db), "cepstral": float(cepstral)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.instruments.compare", description=__doc__)
    parser.add_argument("banks", type=Path)
    parser.add_argument("patches", nargs="*", help="default: all that name a tone")
    options = parser.parse_args()
    instruments = tomllib.loads(LIST.read_text(encoding="utf-8"))
    tables = [tomllib.loads(file.read_text(encoding="utf-8")) for file in SHIPPED.iterdir() if file.suffix == ".toml"]
    tones = {name: patch["tone"] for table in tables for name, patch in table.items() if patch.get("tone")}
    for patch in options.patches or tones:
        print(json.dumps({"patch": patch, **compare(patch, instruments[tones[patch]], options.banks)}), flush=True)


if __name__ == "__main__":
    main()
