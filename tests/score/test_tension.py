"""Tension and valence in the notes: graded, and let go of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import asked_of
from engine.score.composer import ComposedBeat, Composer
from engine.score.tension import swells
from moods.control import parse_control
from moods.controller import Controller
from moods.harmony import SCALE_VALENCES, SCALES
from moods.intent import BEATS_PER_BAR, LAYERS
from moods.mood import styles
from moods.opening import Opening

_BASS, _LEAD = LAYERS.index("bass"), LAYERS.index("lead")
BEATS = 64


def stations(seed: int = 5, **fields) -> list[Controller]:
    """One for each of several values of the field that is a list; all else is the same."""
    (name, values), *_ = [(name, value) for name, value in fields.items() if isinstance(value, list)]
    others = {key: value for key, value in fields.items() if key != name}
    return [Controller(Opening(**others | {name: value}), seed) for value in values]


def compose(composer: Composer, controllers: list[Controller], num_beats: int = BEATS) -> list[list[ComposedBeat]]:
    slots = range(len(controllers))
    for slot, controller in zip(slots, controllers, strict=True):
        composer.open(slot, controller)
    beats: list[list[ComposedBeat]] = [[] for _ in slots]
    for _ in range(num_beats):
        composer.prepare(list(slots))
        for slot in slots:
            beats[slot].append(composer.take(slot))
    return beats


def pitched(beats: list[ComposedBeat]) -> np.ndarray:
    notes = np.concatenate([beat.notes for beat in beats])
    return notes[notes["layer"] > 0]


def bass_on_tonic(beats: list[ComposedBeat], tonic: int) -> float:
    notes = pitched(beats)
    return float((notes["pitch"][notes["layer"] == _BASS] % 12 == tonic).mean())


def test_tones_leave_the_scale_by_degrees(composer) -> None:
    controllers = stations(style="cinematic", energy=0.6, key="D minor", tension=[0.2, 0.5, 0.7, 1.0])
    classes = list(controllers[0].beat_intent(0).key.pitch_classes)
    shares = [
        float((~np.isin(pitched(beats)["pitch"] % 12, classes)).mean()) for beats in compose(composer, controllers)
    ]
    assert shares[:2] == [0, 0]
    assert 0 < shares[2] < shares[3] < 0.5


def test_a_tense_bass_stays_on_the_tonic(composer) -> None:
    controllers = stations(style="orchestral", energy=0.6, key="D minor", tension=[0.1, 0.9])
    calm, tense = (bass_on_tonic(beats, 2) for beats in compose(composer, controllers))
    assert tense > calm + 0.2


def test_tense_music_is_silent_before_a_section(composer) -> None:
    """Nothing begins, and nothing rings into it but the end of a tune."""
    (controller,) = stations(style="orchestral", energy=0.5, tension=[0.9])
    (beats,) = compose(composer, [controller], 32)
    breath = next(
        beat.index
        for beat in beats
        if (intent := controller.beat_intent(beat.index)).bars_to_change == 0
        and intent.beat == BEATS_PER_BAR
        and intent.cue == "none"
    )
    ends = [
        int((beat.index * TICKS_PER_BEAT + notes["tick"] + notes["length"]).max())
        for beat in beats[:breath]
        if len(notes := beat.notes[(beat.notes["layer"] > 0) & (beat.notes["layer"] != _LEAD)])
    ]
    assert len(beats[breath].notes) == 0 and max(ends) <= breath * TICKS_PER_BEAT


def test_two_bars_swell_where_it_is_tense() -> None:
    calm, tense = (
        swells(asked_of([controller.beat_intent(beat) for beat in range(2 * BEATS_PER_BAR)]))
        for controller in stations(style="orchestral", tension=[0.1, 0.9])
    )
    assert not calm.any() and np.all(np.diff(tense, axis=0) > 0)


def test_music_comes_home_where_tension_falls(composer) -> None:
    controllers = [
        Controller(Opening(style="cinematic", key="D minor", valence=-0.3, tension=0.95), seed) for seed in range(8)
    ]
    for controller in controllers:
        controller.apply(parse_control({"type": "steer", "set": {"tension": 0.05}, "at": "bar"}), 0)
    beats = compose(composer, controllers, 2 * BEATS_PER_BAR)
    roots = [taken[BEATS_PER_BAR].chord_root for taken in beats]
    assert roots.count(2) >= 6


@pytest.mark.parametrize("style", styles(), ids=lambda style: style.name)
def test_neighbouring_valences_have_neighbouring_scales(style) -> None:
    scales = list(dict.fromkeys(style.scale_at(valence) for valence in np.linspace(-1, 1, 81).tolist()))
    assert tuple(scales) == style.scales
    brightness = [SCALE_VALENCES[scale] for scale in scales]
    assert brightness == sorted(brightness)
    if len(scales) > 2:
        assert all(len(set(SCALES[one]) ^ set(SCALES[other])) <= 4 for one, other in pairwise(scales))
