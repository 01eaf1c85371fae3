"""What the evaluation hears in hand-made music and in sound is what was put there."""

from __future__ import annotations

import numpy as np
import pytest

from engine.score.piece import Piece
from engine.training.arranger import arrange
from engine.training.evaluation import acoustics, endurance, form, listening, obedience, originality
from engine.training.evaluation.sound import Player, spectral_centroid_hz, to_hear
from engine.training.evaluation.style import StyleListener, confusion
from engine.training.figures import BASS, DRUMS, HARMONY, LEAD
from engine.training.labels import BAR_TICKS
from moods.harmony import Key
from moods.intent import STYLES
from tests.training.pieces import a_piece


def tune(seed: int, num_bars: int, first_bar: int = 0) -> list[tuple[int, int, int]]:
    """A lead of four uneven notes a bar, another for every seed."""
    rng = np.random.default_rng(seed)
    starts = [bar * BAR_TICKS + place for bar in range(first_bar, first_bar + num_bars) for place in (0, 18, 48, 78)]
    return [(tick, LEAD, int(rng.integers(60, 80))) for tick in starts]


# --- form ------------------------------------------------------------------------------------------------------------


def test_a_theme_that_returns_is_told_from_one_that_does_not() -> None:
    theme = tune(1, 16)
    again = [(tick + 16 * BAR_TICKS * turn, layer, pitch) for turn in range(4) for tick, layer, pitch in theme]
    returning, wandering = a_piece(again, 64), a_piece(tune(2, 64), 64)
    assert form.theme_return(returning) > form.theme_return(wandering) + 0.05
    assert form.new_material(returning) < form.new_material(wandering)
    assert np.isnan(form.theme_return(a_piece(theme, 16)))


def test_a_border_between_sections_is_novel() -> None:
    one = [(bar * BAR_TICKS, HARMONY, 60) for bar in range(32)]
    other = [(bar * BAR_TICKS + 48, HARMONY, 66) for bar in range(32, 64)]
    same = [(bar * BAR_TICKS, HARMONY, 60) for bar in range(32, 64)]
    assert form.novelty(a_piece(one + other, 64)) == pytest.approx(1)
    assert form.novelty(a_piece(one + same, 64)) == pytest.approx(0)


def test_a_unit_is_remembered_for_five_minutes() -> None:
    unit = tune(3, 4)
    far = 160 * BAR_TICKS  # at 120 bpm, 320 s
    new = [note for place in range(1, 40) for note in tune(100 + place, 4, 4 * place)]
    soon = a_piece(unit + [(tick + 4 * BAR_TICKS, layer, pitch) for tick, layer, pitch in unit], 8, bpm=120)
    late = a_piece(unit + new + [(tick + far, layer, pitch) for tick, layer, pitch in unit], 164, bpm=120)
    assert form.already_heard(soon) == 100
    assert form.already_heard(late) == 0


# --- originality -----------------------------------------------------------------------------------------------------


def test_a_copied_run_is_found_in_another_key() -> None:
    learnt = originality.index_lines([a_piece(tune(5, 8)), a_piece(tune(6, 8))])
    copied = [(tick, layer, pitch + 3) for tick, layer, pitch in tune(5, 8)[6:16]]
    own = a_piece(tune(7, 8))
    taken = a_piece([*copied, (copied[-1][0] + 30, LEAD, 61)])
    shared = originality.longest_shared([originality.lead_codes(piece) for piece in (taken, own)], learnt)
    assert shared[0] == 10
    assert shared[1] < 5


def test_repeated_notes_are_nobodys() -> None:
    monotone = a_piece([(index * 24, LEAD, 60) for index in range(32)])
    learnt = originality.index_lines([monotone])
    assert originality.longest_shared([originality.lead_codes(monotone)], learnt) == [0]


# --- endurance and obedience -----------------------------------------------------------------------------------------


def test_faults_of_long_runs_are_counted() -> None:
    loop = [(bar * BAR_TICKS, BASS, 36) for bar in range(6)]
    piece = a_piece([*loop, *((7 * BAR_TICKS, HARMONY, 30 + index) for index in range(29))], 8)
    piece.notes["length"][-1] = 9 * BAR_TICKS
    assert endurance.silent_bars(piece) == 1
    assert endurance.stuck_notes(piece) == 1
    assert endurance.literal_loops(piece) == 1
    assert endurance.overfull_beats(piece) == 1


def test_a_control_without_effect_has_no_correlation_and_no_steps() -> None:
    rising = np.linspace(0, 1, 21) + np.zeros((3, 1))
    half_dead = np.maximum(rising, 0.5)
    assert (obedience.rank_correlation(rising), obedience.changing_steps(rising)) == (pytest.approx(1), 20)
    assert 10 <= obedience.changing_steps(half_dead) <= 12
    assert (obedience.rank_correlation(0 * rising), obedience.changing_steps(0 * rising)) == (0, 0)
    assert obedience.changing_steps(1 - rising) == 20


def test_repetition_is_no_surprise() -> None:
    assert obedience.surprise(a_piece([(i * 24, LEAD, 60) for i in range(32)])) < obedience.surprise(
        a_piece(tune(9, 8))
    )


# --- what is heard ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def player() -> Player:
    return Player()


def cadences(tonic: int, num_bars: int = 12, bpm: float = 96.0) -> Piece:
    """I IV V I in major with a kick and hats on the beats."""
    notes, chords = [], []
    for bar in range(num_bars):
        root = (0, 5, 7, 0)[bar % 4]
        tick = bar * BAR_TICKS
        chords.append((tick, (tonic + root) % 12))
        notes += [(tick, HARMONY, 55 + tonic + root + step) for step in (0, 4, 7)]
        notes += [(tick + beat * 24, DRUMS, 36 if beat % 2 == 0 else 42) for beat in range(4)]
    piece = a_piece(notes, num_bars, chords, bpm=bpm)
    piece.notes["length"][piece.notes["layer"] == HARMONY] = BAR_TICKS
    piece.key = Key(tonic, "major")
    return piece


@pytest.mark.long
@pytest.mark.parametrize("bpm", [71.3, 133.7])
def test_key_and_tempo_are_read_from_sound(player: Player, bpm: float) -> None:
    for tonic in (0, 6):
        piece = cadences(tonic, bpm=bpm)
        piece.notes["pitch"] -= np.where(piece.notes["layer"] == HARMONY, 55 - 48, 0).astype(np.int16)
        mono = listening.to_mono(player.play(piece)[0])
        assert listening.is_exact_or_relative(listening.read_key(mono), piece.key)
        assert listening.tempo_error(listening.read_tempo(mono), bpm) < 0.01


def test_only_octaves_of_the_tempo_are_free() -> None:
    assert listening.tempo_error(60, 120) == listening.tempo_error(240, 120) == pytest.approx(0)
    assert listening.tempo_error(90, 120) > 0.3
    assert listening.tempo_error(121.2, 120) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("read", "key", "expected"),
    [
        ((0, True), Key(9, "minor"), True),
        ((9, False), Key(2, "dorian"), True),
        ((2, False), Key(2, "dorian"), True),
        ((7, True), Key(0, "major"), False),
        ((0, False), Key(0, "major"), False),
    ],
)
def test_a_relative_key_has_the_same_notes(read: tuple[int, bool], key: Key, expected: bool) -> None:
    assert listening.is_exact_or_relative(read, key) is expected


def test_loudness_is_heard_before_it_is_levelled(player: Player) -> None:
    soft, loud = cadences(0, 4), cadences(0, 4)
    soft.notes["velocity"] = 30
    loud.notes["velocity"] = 120
    assert player.play(loud)[1] > player.play(soft)[1] + 6


def test_brightness_opens_the_spectrum(player: Player) -> None:
    part = to_hear(cadences(0), 4, 4.0)
    dark, bright = (spectral_centroid_hz(player.play(part, brightness=level)[0]) for level in (0.0, 1.0))
    assert bright > 1.2 * dark


# --- style -----------------------------------------------------------------------------------------------------------


def test_a_listener_tells_styles_apart() -> None:
    names = ("house", "ambient", "jazz")
    listener = StyleListener({name: [arrange(name, seed) for seed in range(4)] for name in names}, [])
    heard = {name: [listener.style_of(arrange(name, 50 + seed)) for seed in range(2)] for name in names}
    assert sum(answer == name for name, answers in heard.items() for answer in answers) >= 5
    shares = confusion(heard)
    assert np.nansum(shares) == pytest.approx(3)
    assert shares.shape == (len(STYLES), len(STYLES))


# --- what is felt ----------------------------------------------------------------------------------------------------


def tones(*midi: float, seconds: float = 4.0) -> np.ndarray:
    """Sounding tones with five partials each, mono at the readers' rate."""
    times = np.arange(int(seconds * listening.RATE_HZ)) / listening.RATE_HZ
    hz = [440 * 2 ** ((note - 69) / 12) for note in midi]
    return sum(np.sin(2 * np.pi * f * k * times) / k for f in hz for k in range(1, 6)).astype(np.float32) / 10


def test_what_grates_is_rough_and_what_is_major_is_told_from_minor() -> None:
    clean, grating = (acoustics.measure(tones(*chord)) for chord in ((60, 64, 67), (60, 61, 66)))
    minor = acoustics.measure(tones(60, 63, 67))
    assert grating["roughness"] > 1.3 * clean["roughness"]
    assert clean["majorness"] > 0 > minor["majorness"]
    assert clean["key_clarity"] > grating["key_clarity"]
    tension = acoustics.read([clean, grating], "tension")
    assert tension[1] > tension[0]


def test_louder_lower_and_unsteady_sound_is_heard_so() -> None:
    low, high = acoustics.measure(tones(31)), acoustics.measure(tones(79))
    assert low["low_db"] > high["low_db"] + 10
    assert high["centroid_octaves"] > low["centroid_octaves"] + 1
    steady = tones(60)
    swelling = steady * np.linspace(0.05, 1, len(steady), dtype=np.float32)
    assert acoustics.measure(swelling)["contrast_db"] > acoustics.measure(steady)["contrast_db"] + 6
    assert acoustics.measure(2 * steady)["level_db"] == pytest.approx(
        acoustics.measure(steady)["level_db"] + 6.02, abs=0.1
    )
    assert np.isnan(acoustics.measure(np.zeros(listening.RATE_HZ, np.float32))["roughness"])


def test_a_single_switch_is_one_wide_step() -> None:
    even, switch = np.tile(np.linspace(0, 1, 7), (3, 1)), np.tile(np.array([0, 0, 0, 1, 1, 1, 1.0]), (3, 1))
    assert obedience.widest_step(even) == pytest.approx(1 / 6)
    assert obedience.widest_step(switch) == 1
    assert obedience.pooled_correlation(even) == pytest.approx(1)
    noisy = even + np.array([[-3.0], [0], [3]])
    assert obedience.pooled_correlation(noisy) < 0.5 < obedience.rank_correlation(noisy)
