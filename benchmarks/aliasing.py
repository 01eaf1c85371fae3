"""How far below the note is what the oscillators fold, at 4 kHz and full brightness?

Every shipped patch whose source is an oscillator plays B7 (3,951 Hz) at the greatest velocity and brightness, with
its filter open and without what is no oscillator: noise, drive, tremolo, vibrato, drift. A figure is the loudest line
under 16 kHz that belongs to no partial of the note, beside the loudest that does; of each kind the worst patch counts.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from benchmarks.harness import record
from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.patching.tables import shipped_tables
from engine.synth.sources.wavetables import WAVES
from engine.synth.synth import Synth
from moods.harmony import Key
from moods.intent import LAYERS, MUTE_DB, NO_RECALL, STYLES, Intent

PITCH, SECONDS = 107, 1.4
UNDER_HZ = 16_000
OSCILLATORS = ("analog", "fm", "ensemble", "chip", "additive")
OFF = (
    "noise_level", "drive", "tremolo", "vibrato_cents", "drift_cents", "motion_octaves", "detune_cents", "transpose",
    "resonance", "scoop_cents", "pulse_motion", "twin_cents", "jitter_cents", "tine_level", "sub_level", "arpeggio",
    "roughness", "vibrato_db", "arch_db", "bow_level", "looseness_s",
)  # fmt: skip


def bare_patches() -> npt.NDArray[np.void]:
    """The shipped patches as their sources alone: steady, open, unmodulated."""
    patches = shipped_tables().patches.copy()
    for field in OFF:
        patches[field] = 0.0
    patches["filter"], patches["cutoff_hz"], patches["sustain"], patches["volume_sustain"] = 0, 20_000.0, 1.0, 1.0
    patches["brightness_octaves"] = 6.0
    patches["attack_share"] = 1e-3
    # The last duty of a sequence only: on the way there every duty is a tone of its own.
    last = np.take_along_axis(patches["duty"], patches["num_duty"][:, None] - 1, axis=1)
    patches["duty"], patches["num_duty"] = last, 1
    return patches


def bright_intent() -> Intent:
    return Intent(
        0, 1.0, 0, (1.0,) + (0.0,) * (len(STYLES) - 1), 100, Key(0, "major"), 0.5, 1.0,
        (0.0,) * len(LAYERS), (True,) * len(LAYERS), 1, -16, MUTE_DB, 1, 1, "A", 0, None, NO_RECALL, "none", None,
    )  # fmt: skip


def sound_of(index: int, patches: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """One second of patch `index`, dry, after its attack: [SAMPLE_RATE]."""
    tables = shipped_tables()
    layer = LAYERS.index("lead")
    synth = Synth(1, tables=dataclasses.replace(tables.alone(tables.names[index]), patches=patches))
    synth.open(0, 1)
    synth.play(0, as_sounds([(0, 10**6, layer, PITCH, 127)]))
    still = bright_intent()
    _, stems = synth.render_stems([0], lambda slot, frame: still, int(SECONDS * SAMPLE_RATE))
    return stems[0, layer, 0, -SAMPLE_RATE:].astype(np.float64)


def lines_of(patch: np.void, kind: str) -> npt.NDArray[np.bool_]:
    """Which of the bins, a hertz each, belong to the note."""
    hz = 440.0 * 2 ** ((PITCH - 69) / 12)
    bins = np.arange(SAMPLE_RATE // 2 + 1)
    if kind == "ensemble":
        # What is in the table, stretched to the note; its bands are as broad as the players are apart, and
        # a head that fades to another part makes lines a little broader.
        tables = shipped_tables()
        index = int((PITCH - patch["zone_key"] + 0.01) / patch["zone_semitones"])
        zone = tables.zones[patch["first_zone"] + min(max(index, 0), patch["num_zones"] - 1)]
        size = sum(np.abs(np.fft.rfft(tables.waves[zone[start] :][: zone["num_frames"]])) for start in ("soft", "loud"))
        present = np.flatnonzero(size > 1e-5 * size.max()) * (hz / (zone["increment"] * zone["num_frames"]))
        near = np.searchsorted(present, bins).clip(1, len(present) - 1)
        return np.minimum(np.abs(present[near] - bins), np.abs(present[near - 1] - bins)) < 30
    if kind == "fm":
        # Every sum and difference belongs to the note, also a negative one, but for those that have no place.
        order = np.arange(-8, 9)
        second = order * patch["second_ratio"] * (patch["second_index"] > 0)
        lines = np.abs(patch["carrier_ratio"] + (order * patch["modulator_ratio"])[:, None] + second) * hz
        lines = np.unique(lines[lines < SAMPLE_RATE / 2])
        return np.abs(bins[:, None] - lines).min(axis=1) < 8
    return np.abs((bins + hz / 2) % hz - hz / 2) < 40


def aliases_db(sound: npt.NDArray[np.float64], patch: np.void, kind: str) -> float:
    """The loudest line under UNDER_HZ that is no partial of the note, in dB beside the greatest that is."""
    levels = 20 * np.log10(np.abs(np.fft.rfft(sound * np.blackman(len(sound)))) + 1e-12)
    bins = np.arange(len(levels))
    is_heard, is_partial = (bins > 100) & (bins < UNDER_HZ), lines_of(patch, kind)
    return float(levels[is_heard & ~is_partial].max() - levels[is_heard & is_partial].max())


def measure() -> dict[str, tuple[float, str]]:
    """For each kind of oscillator the worst figure and the patch that has it."""
    tables, patches = shipped_tables(), bare_patches()
    worst: dict[str, tuple[float, str]] = {}
    for index, patch in enumerate(patches):
        kind = tables.kind(tables.names[index])
        if kind not in OSCILLATORS or (kind == "chip" and patch["wave"] >= len(WAVES)):
            continue
        found = (round(aliases_db(sound_of(index, patches), patch, kind), 1), tables.names[index])
        worst[kind] = max(worst.get(kind, found), found)
    return worst


def main() -> None:
    worst = measure()
    record("aliasing", {
        "pitch_hz": round(440.0 * 2 ** ((PITCH - 69) / 12), 1),
        "worst_db": {kind: level for kind, (level, _) in worst.items()},
        "worst_patch": {kind: name for kind, (_, name) in worst.items()},
    })  # fmt: skip


if __name__ == "__main__":
    main()
