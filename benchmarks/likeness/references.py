"""Human-made game music, from Debian packages of free games. In: a family; out: its tracks' excerpts.

For measuring only: nothing of it is learnt from, shipped or kept in the repository. Remembers files in a folder.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.likeness.hearing import EXCERPT_S, is_audible
from engine.audio import CHANNELS, SAMPLE_RATE

Float = npt.NDArray[np.float32]
EXCERPTS_AT = (0.3, 0.65)
"""Where a track's excerpts begin, as shares of what lies before the last possible beginning."""
_SUFFIXES = (".ogg", ".mp3", ".opus", ".mod", ".xm", ".it", ".s3m")
_ARCHIVES = (".zip", ".pk3")


class NoReferences(Exception):
    """The tracks are not in the folder, or `ffmpeg` cannot read them."""


def track_names() -> dict[str, list[tuple[str, str]]]:
    """(package, name) of every track, by family."""
    families = tomllib.loads((Path(__file__).parent / "references.toml").read_text(encoding="utf-8"))
    return {
        family: [(package, name) for package, names in packages.items() for name in names]
        for family, packages in families.items()
    }


def fetch(folder: Path) -> None:
    """Download every package with `apt-get` (3 GB in all) and unpack its sound files to `folder`/PACKAGE.

    A package that is there already is left alone.
    """
    for package in sorted({package for tracks in track_names().values() for package, _ in tracks}):
        place = folder / package
        if not place.is_dir():
            downloads = folder / "downloads"
            downloads.mkdir(parents=True, exist_ok=True)
            subprocess.run(["apt-get", "download", package], cwd=downloads, check=True)
            _unpack(next(downloads.glob(f"{package}_*.deb")), place)


def _unpack(archive: Path, place: Path) -> None:
    """Sound files of a Debian package, those in archives inside it too, under their own names."""
    place.mkdir()
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as entries,
    ):
        for entry in entries:
            if entry.isfile() and Path(entry.name).suffix.lower() in (*_SUFFIXES, *_ARCHIVES):
                (place / Path(entry.name).name).write_bytes(entries.extractfile(entry).read())
    for inner in [file for file in place.iterdir() if file.suffix in _ARCHIVES]:
        with zipfile.ZipFile(inner) as entries:
            for name in entries.namelist():
                if Path(name).suffix.lower() in _SUFFIXES:
                    (place / Path(name).name).write_bytes(entries.read(name))
        inner.unlink()


def find(folder: Path, package: str, name: str) -> Path:
    """The file of a track. Raises `NoReferences`."""
    for file in sorted((folder / package).rglob("*")):
        if file.stem == name and file.suffix.lower() in _SUFFIXES:
            return file
    raise NoReferences(f"{folder / package} has no track {name!r}: run with --fetch, on Debian with its source `main`")


def track_excerpts(file: Path) -> list[Float]:
    """[2, EXCERPT_S] at SAMPLE_RATE each, those that are not silent. Raises `NoReferences`."""
    words = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "json", file]
    try:
        probed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise NoReferences(f"ffprobe (of ffmpeg, with libopenmpt) cannot read {file}: {error}") from error
    room = float(json.loads(probed)["format"]["duration"]) - EXCERPT_S - 1
    found = [_decode(file, share * room) for share in EXCERPTS_AT]
    return [sound for sound in found if sound.shape[1] == EXCERPT_S * SAMPLE_RATE and is_audible(sound)]


def _decode(file: Path, start_s: float) -> Float:
    words = ["ffmpeg", "-v", "error", "-ss", f"{start_s:.3f}", "-t", str(EXCERPT_S + 1), "-i", file]
    words += ["-f", "f32le", "-ac", str(CHANNELS), "-ar", str(SAMPLE_RATE), "-"]
    done = subprocess.run(words, check=True, capture_output=True)
    sound = np.frombuffer(done.stdout, np.float32).reshape(-1, CHANNELS).T
    return np.ascontiguousarray(sound[:, : EXCERPT_S * SAMPLE_RATE])
