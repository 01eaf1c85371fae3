"""What separates two sounds, in plain figures. In: what was heard; out: lines of Markdown. Remembers nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.likeness.hearing import BANDS_HZ, Heard


def describe(family: str, reference: Sequence[Heard], ours: Sequence[Heard], theirs: Sequence[Heard]) -> list[str]:
    """Two tables: third octaves, and figures; each as the reference's median and how far the others' are from it."""
    lines = [
        f"## {family}",
        "",
        "Third octaves, dB of all: reference (10 … 90 %), ours and FluidR3 minus reference.",
        "",
    ]
    lines += ["| Hz | reference | 10 … 90 % | ours | FluidR3 |", "|---|---|---|---|---|"]
    bands = [np.concatenate([heard.bands_db for heard in found]) for found in (reference, ours, theirs)]
    for index, hz in enumerate(BANDS_HZ):
        of_all, of_ours, of_theirs = (found[:, index] for found in bands)
        low, middle, high = np.percentile(of_all, (10, 50, 90))
        lines.append(
            f"| {hz:.0f} | {middle:.1f} | {low:.0f} … {high:.0f} | {np.median(of_ours) - middle:+.1f} "
            f"| {np.median(of_theirs) - middle:+.1f} |"
        )
    lines += ["", "| figure | reference | 10 … 90 % | ours | FluidR3 |", "|---|---|---|---|---|"]
    for name in reference[0].figures:
        of_all, of_ours, of_theirs = (
            np.concatenate([heard.figures[name] for heard in found]) for found in (reference, ours, theirs)
        )
        low, middle, high = np.percentile(of_all, (10, 50, 90))
        others = " | ".join(f"{np.median(found):.3g}" for found in (of_ours, of_theirs))
        lines.append(f"| {name} | {middle:.3g} | {low:.3g} … {high:.3g} | {others} |")
    return [*lines, ""]
