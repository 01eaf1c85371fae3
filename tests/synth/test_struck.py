"""What is struck is in tune, brighter when hit harder, never twice the same, silent in the end; FM does not fold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engine.audio import SAMPLE_RATE
from engine.notes import DRUM_PITCHES, as_sounds
from engine.synth.envelopes import FREE
from engine.synth.patching.tables import shipped_tables
from engine.synth.synth import Synth
from moods.intent import LAYERS
from tests.synth.music import intent

TABLES = shipped_tables()
HARMONY, DRUMS = LAYERS.index("harmony"), LAYERS.index("drums")
PLAIN = {"noise_level": 0.0, "tremolo": 0.0, "vibrato_cents": 0.0, "drift_cents": 0.0, "motion_octaves": 0.0}


def patches_of(kind: str) -> list[str]:
    return [name for name in TABLES.names if TABLES.kind(name) == kind]


def open_synth(name: str, changes: dict[str, float] | None = None) -> Synth:
    """A slot whose every instrument is the patch `name`, without effects."""
    synth = Synth(1, tables=TABLES.alone(name, **(changes or {})))
    synth.open(0, 1)
    return synth


def strike(
    name: str, pitch: int, velocity: int = 100, seconds: float = 1.0, onset: int = 0, brightness: float = 0.5,
    changes: dict[str, float] | None = None,
) -> np.ndarray:  # fmt: skip
    """One note: float64 [2, T]."""
    synth = open_synth(name, changes)
    layer = DRUMS if TABLES.kind(name) == "drum" else HARMONY
    synth.play(0, as_sounds([(onset, 10**6, layer, pitch, velocity)]))
    dry = intent("jazz", brightness=brightness)
    _, stems = synth.render_stems([0], lambda slot, frame: dry, int(seconds * SAMPLE_RATE))
    return stems[0, layer].astype(np.float64)


def centroid_hz(wave: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(wave.mean(axis=0))) ** 2
    return float((power * np.fft.rfftfreq(wave.shape[1], 1 / SAMPLE_RATE)).sum() / power.sum())


@pytest.mark.parametrize(
    "name", ["grand_piano", "upright_piano", "vibraphone", "celesta", "glockenspiel", "tine_piano"]
)
@pytest.mark.parametrize("pitch", [48, 72])
def test_notes_are_in_tune(name: str, pitch: int) -> None:
    wave = strike(name, pitch, seconds=1.5, changes=PLAIN).mean(axis=0)[4800:]
    size = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**20))
    hz, bins = 440 * 2 ** ((pitch - 69) / 12), np.fft.rfftfreq(2**20, 1 / SAMPLE_RATE)
    near = (bins > hz * 0.97) & (bins < hz * 1.03)
    assert abs(1200 * np.log2(bins[near][size[near].argmax()] / hz)) < 5


@pytest.mark.parametrize(
    "name", ["grand_piano", "marimba", "tine_piano", "kick_acoustic", "snare_acoustic", "taiko_low"]
)
def test_harder_strikes_are_brighter(name: str) -> None:
    soft, hard = (centroid_hz(strike(name, 48, velocity, 0.5)) for velocity in (40, 120))
    assert hard > 1.1 * soft


def test_a_low_piano_note_is_inharmonic_and_its_high_partials_die_first() -> None:
    wave = strike("grand_piano", 33, seconds=3.0, changes={"noise_level": 0.0}).mean(axis=0)
    early, late = (np.abs(np.fft.rfft(wave[start:][:65536] * np.hanning(65536))) for start in (4800, 76_000))
    partials = np.fft.rfftfreq(65536, 1 / SAMPLE_RATE) / 55
    first, straight, sharp = (np.abs(partials - place) < 0.2 for place in (1, 20, 20.83))
    assert early[sharp].max() > 10 * early[straight].max()
    assert late[sharp].max() / early[sharp].max() < 0.4 * late[first].max() / early[first].max()


@pytest.mark.parametrize("name", patches_of("fm"))
def test_fm_folds_nothing_that_is_heard(name: str) -> None:
    patch = TABLES.patches[TABLES.names.index(name)]
    changes = {**PLAIN, "drive": 0.0, "twin_cents": 0.0}
    wave = strike(name, 107, 127, 1.2, brightness=1.0, changes=changes).mean(axis=0)[9600:]
    levels = np.abs(np.fft.rfft(wave * np.blackman(len(wave))))
    bins = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    hz = 440 * 2 ** ((107 + patch["transpose"] - 69) / 12)
    is_alias = bins < 16_000
    for k in range(-16, 17):
        for m in range(-16, 17):
            side = abs(hz * (patch["carrier_ratio"] + k * patch["modulator_ratio"] + m * patch["second_ratio"]))
            if side < SAMPLE_RATE / 2:
                is_alias &= np.abs(bins - side) > 25
    is_alias &= (np.abs(bins - hz * patch["tine_ratio"]) > 25) & (bins > 25)
    assert 20 * np.log10(levels[is_alias].max() / levels.max()) < -90


@pytest.mark.parametrize("name", ["snare_acoustic", "hat_closed", "kick_909", "tom_low", "grand_piano"])
def test_no_two_hits_are_alike(name: str) -> None:
    synth = open_synth(name)
    layer = HARMONY if name == "grand_piano" else DRUMS
    synth.play(0, as_sounds([(at, 20_000, layer, 38, 100) for at in (0, 48_000)]))
    _, stems = synth.render_stems([0], lambda slot, frame: intent("jazz"), 96_000)
    one, other = (stems[0, layer, :, start : start + 9600].astype(np.float64) for start in (0, 48_000))
    assert np.abs(one - other).max() > 1e-3 * np.abs(one).max()
    assert 0.5 < (one**2).sum() / (other**2).sum() < 2.0


def test_a_closed_hat_ends_an_open_one() -> None:
    open_hat, closed_hat = (TABLES.names.index(name) for name in ("hat_open", "hat_closed"))
    kits = TABLES.kits.copy()
    kits[:, 46], kits[:, 42] = open_hat, closed_hat
    tails = []
    for rows in ([(0, 100, DRUMS, 46, 100)], [(0, 100, DRUMS, 46, 100), (9600, 100, DRUMS, 42, 1)]):
        synth = Synth(1, tables=dataclasses.replace(TABLES, kits=kits))
        synth.open(0, 1)
        synth.play(0, as_sounds(rows))
        _, stems = synth.render_stems([0], lambda slot, frame: intent("house"), 24_000)
        tails.append(np.abs(stems[0, DRUMS, :, 12_000:]).max())
    assert tails[1] < 0.1 * tails[0]


@pytest.mark.parametrize("drum", sorted(set(DRUM_PITCHES.values()) - {"crash", "ride", "ride bell"}))
def test_a_drum_frees_its_voice(drum: str) -> None:
    pitch = next(pitch for pitch, name in DRUM_PITCHES.items() if name == drum)
    for index in sorted(set(TABLES.kits[:, pitch])):
        synth = open_synth(TABLES.names[index])
        synth.play(0, as_sounds([(77, 100, DRUMS, pitch, 100)]))
        synth.render([0], lambda slot, frame: intent("house"), 4 * SAMPLE_RATE)
        assert (synth.snapshot(0)["voices"]["stage"] == FREE).all(), TABLES.names[index]


def test_a_dead_bar_frees_its_voice_before_the_key_is_let_go() -> None:
    assert "xylophone" in patches_of("modal")
    synth = open_synth("xylophone")
    synth.play(0, as_sounds([(0, 10**6, HARMONY, 72, 100)]))
    synth.render([0], lambda slot, frame: intent("jazz"), 2 * SAMPLE_RATE)
    assert (synth.snapshot(0)["voices"]["stage"] == FREE).all()
