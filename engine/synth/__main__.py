"""`python -m engine.synth audition`: every patch, kit and style as a wav, a spectrogram and figures, in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.synth.errors import PatchError
from engine.synth.listening import audition
from engine.synth.patching.tables import shipped_tables
from moods.intent import STYLES


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.synth", description=__doc__)
    parser.add_argument("verb", choices=("audition",))
    parser.add_argument("names", nargs="*", help="patches and styles; default: all")
    parser.add_argument("--out", type=Path, default=Path("runs/audition"))
    options = parser.parse_args(arguments)
    try:
        tables = shipped_tables()
    except PatchError as error:
        sys.exit(f"audition: {error}")
    if unknown := set(options.names) - {*tables.names, *STYLES}:
        sys.exit(f"audition: no patch or style is called {', '.join(sorted(unknown))}")
    patches = [name for name in options.names if name in tables.names]
    styles = [name for name in options.names or STYLES if name in STYLES]
    try:
        faults = 0
        if patches or not options.names:
            faults += _write(options.out / "patches", audition.audition_patches(tables, patches))
        if styles:
            faults += _write(options.out / "kits", audition.audition_kits(tables, styles))
            faults += _write(options.out / "styles", audition.audition_styles(tables, chosen=styles))
    except ImportError as error:
        sys.exit(f"audition: {error.name} is missing; it comes with the extra `dev`: pip install -e '.[dev]'")
    print(f"{faults} faulty; all is in {options.out}")


def _write(folder: Path, auditions: Iterator[audition.Audition]) -> int:
    """Write them and name the faulty; returns how many."""
    faulty = audition.write(folder, auditions)
    for name, faults in faulty.items():
        print(f"{folder.name}/{name}: {'; '.join(faults)}", flush=True)
    return len(faulty)


if __name__ == "__main__":
    main()
