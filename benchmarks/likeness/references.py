"""Human-made game music, from Debian packages of free games. In: a split; out: its tracks by family, and clips of them.

All tracks of a game are in one split: what tuning has seen of an author's sound is in no claim. For measuring only:
nothing of it is learnt from, shipped or kept in the repository. Remembers files in a folder.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.likeness.hearing import CLIP_S, is_audible
from engine.audio import CHANNELS, SAMPLE_RATE

Float = npt.NDArray[np.float32]
SPLITS = ("tuning", "unseen")
"""Whoever tunes may look at the first; what is claimed is measured on the second."""
CLIP_AT = 0.4
"""Where a track's clip begins, as a share of what lies before the last possible beginning."""
_SUFFIXES = (".ogg", ".mp3", ".opus", ".mod", ".xm", ".it", ".s3m")
_ARCHIVES = (".zip", ".pk3")


class NoReferences(Exception):
    """The tracks are not in the folder, or `ffmpeg` cannot read them."""


def track_names(split: str) -> dict[str, list[tuple[str, str]]]:
    """(package, name) of every track of one of SPLITS, by family."""
    splits = tomllib.loads((Path(__file__).parent / "references.toml").read_text(encoding="utf-8"))
    return {
        family: [(package, name) for package, names in packages.items() for name in names]
        for family, packages in splits[split].items()
    }


def fetch(folder: Path) -> None:
    """Download every package with `apt-get` (4 GB in all) and unpack its sound files to `folder`/PACKAGE.

    A package that is there already is left alone.
    """
    packages = {package for split in SPLITS for tracks in track_names(split).values() for package, _ in tracks}
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted(packages):
        if not (place := folder / package).is_dir():
            with tempfile.TemporaryDirectory(dir=folder) as downloads:
                subprocess.run(["apt-get", "download", package], cwd=downloads, check=True)
                _unpack(next(Path(downloads).glob("*.deb")), place)


def _unpack(archive: Path, place: Path) -> None:
    """Sound files of a Debian package, those in archives inside it too, under their own names."""
    unfinished = place.with_suffix(".unfinished")
    unfinished.mkdir()
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as entries,
    ):
        for entry in entries:
            if entry.isfile() and Path(entry.name).suffix.lower() in (*_SUFFIXES, *_ARCHIVES):
                (unfinished / Path(entry.name).name).write_bytes(entries.extractfile(entry).read())
    for inner in [file for file in unfinished.iterdir() if file.suffix in _ARCHIVES]:
        with zipfile.ZipFile(inner) as entries:
            for name in entries.namelist():
                if Path(name).suffix.lower() in _SUFFIXES:
                    (unfinished / Path(name).name).write_bytes(entries.read(name))
        inner.unlink()
    unfinished.rename(place)


def find(folder: Path, package: str, name: str) -> Path:
    """The file of a track. Raises `NoReferences`."""
    for file in sorted((folder / package).rglob("*")):
        if file.stem == name and file.suffix.lower() in _SUFFIXES:
            return file
    raise NoReferences(f"{folder / package} has no track {name!r}: run with --fetch, on Debian with its source `main`")


def clip(file: Path) -> Float:
    """[2, CLIP_S] at SAMPLE_RATE of a track, which is repeated where it is shorter. Raises `NoReferences`."""
    words = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "json", file]
    try:
        probed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        length_s = float(json.loads(probed)["format"]["duration"])
        sound = _decode(file, max(0.0, CLIP_AT * (length_s - CLIP_S - 1)))
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise NoReferences(f"ffmpeg (with libopenmpt) cannot read {file}: {error}") from error
    if not is_audible(sound):
        raise NoReferences(f"{file} is silent where its clip begins")
    return sound


def _decode(file: Path, start_s: float) -> Float:
    words = ["ffmpeg", "-v", "error", "-ss", f"{start_s:.3f}", "-t", str(CLIP_S + 1), "-i", file]
    words += ["-f", "f32le", "-ac", str(CHANNELS), "-ar", str(SAMPLE_RATE), "-"]
    done = subprocess.run(words, check=True, capture_output=True)
    return np.resize(np.frombuffer(done.stdout, np.float32), (CLIP_S * SAMPLE_RATE, CHANNELS)).T.copy()
