"""The General MIDI bank beside us: FluidR3, played by FluidSynth. In: MIDI; out: sound. Remembers files in a folder.

Both may be installed (`apt-get install fluidsynth fluid-soundfont-gm`), or lie in the folder to which `fetch` unpacks
them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import symusic

from engine.audio import SAMPLE_RATE

Float = npt.NDArray[np.float32]
_PACKAGES = ("fluid-soundfont-gm", "fluidsynth", "libfluidsynth3", "libinstpatch-1.0-2")
_FONT = "usr/share/sounds/sf2/FluidR3_GM.sf2"
_GAIN = 0.4
"""Leaves room for peaks."""


class NoBank(Exception):
    """FluidSynth or the bank is neither installed nor in the folder."""


def fetch(folder: Path) -> None:
    """Download both with `apt-get` (130 MB) and unpack them to `folder`/bank. What is installed is left alone."""
    if (shutil.which("fluidsynth") and Path("/", _FONT).is_file()) or (folder / "bank" / _FONT).is_file():
        return
    (folder / "bank").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        subprocess.run(["apt-get", "download", *_PACKAGES], cwd=downloads, check=True)
        for archive in Path(downloads).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, folder / "bank"], check=True)


def play(score: symusic.Score, folder: Path) -> Float:
    """[2, T] at SAMPLE_RATE, with the player's reverb and chorus on. Raises `NoBank`."""
    font = next((file for root in (Path("/"), folder / "bank") if (file := root / _FONT).is_file()), None)
    if font is None:
        raise NoBank(f"no {_FONT} in / or {folder / 'bank'}: run with --fetch, or apt-get install fluid-soundfont-gm")
    unpacked = (folder / "bank/usr").resolve()
    libraries = ":".join(str(found.parent) for found in unpacked.glob("lib/*/libfluidsynth.so.3"))
    with tempfile.TemporaryDirectory() as place:
        midi, wav = Path(place) / "take.mid", Path(place) / "take.wav"
        score.dump_midi(midi)
        words = [shutil.which("fluidsynth") or unpacked / "bin/fluidsynth", "-n", "-i", "-q", "-g", str(_GAIN)]
        words += ["-r", str(SAMPLE_RATE), "-R", "1", "-C", "1", "-T", "wav", "-O", "float", "-F", wav, font, midi]
        environment = os.environ | ({} if shutil.which("fluidsynth") else {"LD_LIBRARY_PATH": libraries})
        try:
            subprocess.run(words, check=True, capture_output=True, env=environment)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise NoBank(f"fluidsynth does not run: {error}; apt-get install fluidsynth") from None
        return np.ascontiguousarray(soundfile.read(wav, dtype="float32")[0].T)
