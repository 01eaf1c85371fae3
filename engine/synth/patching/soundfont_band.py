"""A band that plays a soundfont. In: instruments and kits; out: the same with recordings where the bank has them.

Whoever says itself what it plays keeps it: patches of one's own that stand for no instrument of General MIDI, and
those that play a soundfont already. Remembers nothing; any thread.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from engine.synth.patching.patch import PATCH, plain_patch, set_shares
from engine.synth.patching.programs import KITS, ORCHESTRA_KEYS, ORCHESTRA_KIT, PROGRAMS, STANDARD_KIT
from engine.synth.patching.recordings import Recordings
from engine.synth.soundfonts.bank import Bank
from engine.synth.sources.kinds import KINDS
from engine.synth.sources.sampler import KIND, PERCUSSION_BANK

LEVEL_DB, DRUM_LEVEL_DB = -9.0, -6.0
"""What brings banks to the level of the instruments whose place they take: medians of FluidR3's, one by one. Beside one
another a bank's instruments keep the levels that its maker gave them."""
_KEPT = ("pan", "transpose", "strum_s", "looseness_s")
"""How an instrument is placed and played, whatever it sounds like."""

log = logging.getLogger("undersong")


def _plays_soundfont(patch: npt.NDArray[np.void]) -> bool:
    return KINDS[int(patch["kind"])].plays_soundfont


def _recorded(recordings: Recordings, bank: Bank, number: int, program: int) -> npt.NDArray[np.void]:
    patch = plain_patch(KIND)
    patch["bank"], patch["program"], patch["is_pitched"] = number, program, number != PERCUSSION_BANK
    patch["first_region"], patch["num_regions"] = recordings.place(bank, number, program)
    set_shares(patch)
    return patch


def _play_instruments(
    bank: Bank, names: list[str], patches: npt.NDArray[np.void], recordings: Recordings
) -> npt.NDArray[np.void]:
    patches, missing = patches.copy(), set()
    for index, name in enumerate(names):
        program = PROGRAMS.get(name)
        if program is None or _plays_soundfont(patches[index]):
            continue
        if (0, program) not in bank.presets:
            missing.add(program)
            continue
        patch = _recorded(recordings, bank, 0, program)
        patch["level_db"] = LEVEL_DB
        for field in _KEPT:
            patch[field] = patches[index][field]
        patches[index] = patch
    if missing:
        programs = ", ".join(map(str, sorted(missing)))
        log.warning("soundfont %s has no program %s; computed instruments play these", bank.file, programs)
    return patches


def _play_kits(
    bank: Bank, names: list[str], kit_names: list[str], kits: npt.NDArray[np.int32], recordings: Recordings
) -> list[npt.NDArray[np.void]]:
    """Set the kits' drums to patches that follow those of `names`, which are returned."""
    added: dict[tuple[int, int], npt.NDArray[np.void]] = {}
    for row, kit in enumerate(kit_names):
        program = KITS.get(kit)
        if program is None:
            continue
        if (PERCUSSION_BANK, program) not in bank.presets:
            program = STANDARD_KIT
        if (PERCUSSION_BANK, program) not in bank.presets:
            log.warning("soundfont %s has no drums; the computed ones play", bank.file)
            break
        for pitch in np.flatnonzero(kits[row] >= 0).tolist():
            key = ORCHESTRA_KEYS.get(pitch, pitch) if program == ORCHESTRA_KIT else pitch
            if (program, key) not in added:
                patch = _recorded(recordings, bank, PERCUSSION_BANK, program)
                patch["key"], patch["level_db"] = key, DRUM_LEVEL_DB
                first, count = int(patch["first_region"]), int(patch["num_regions"])
                patch["choke"] = recordings.exclusive_class(first, count, key)
                added[program, key] = patch
                names.append(f"drum_{program}_{key}")
            kits[row, pitch] = names.index(f"drum_{program}_{key}")
    return list(added.values())


def play_soundfont(
    bank: Bank, names: list[str], patches: npt.NDArray[np.void], kit_names: list[str], kits: npt.NDArray[np.int32],
    recordings: Recordings,
) -> npt.NDArray[np.void]:  # fmt: skip
    """The patches with recordings in place of instruments and behind them those of drums, whose names are added to
    `names` and which `kits` then has. Raises `SoundFontError`."""
    played = _play_instruments(bank, names, patches, recordings)
    return np.concatenate([played, np.array(_play_kits(bank, names, kit_names, kits, recordings), PATCH)])
