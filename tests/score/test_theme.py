"""A user's theme and stingers as music, on the shipped weights: the tune is heard, note for note, in every key."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from engine.score.composer import ComposedBeat, Composer
from engine.score.rules import RANGES
from engine.score.theme import theme_notes
from moods.control import parse_control
from moods.controller import Controller
from moods.harmony import SCALES, parse_key
from moods.intent import LAYERS, STYLES
from moods.opening import parse_opening
from moods.tune import whole_scale
from tests.score.conftest import SLOTS
from tests.score.test_cues import check_restored, chord_tones, of_layer, take

LEAD = LAYERS.index("lead")
TICKS = 24
_TUNE = (
    ("D4", 0, 1), ("A4", 1, 1.5), ("G4", 2.5, 0.5), ("F4", 3, 0.5), ("E4", 3.5, 0.5), ("F4", 4, 1), ("D4", 5, 1),
    ("C#4", 6, 0.75), ("D4", 6.75, 0.25), ("E4", 7, 1), ("A4", 8, 2), ("Bb4", 10, 1 / 3), ("A4", 10 + 1 / 3, 1 / 3),
    ("G4", 10 + 2 / 3, 1 / 3), ("F4", 11, 0.125), ("E4", 11.125, 0.875), ("D4", 12, 4),
)  # fmt: skip
HERO = {"notes": [{"pitch": pitch, "at": at, "beats": beats} for pitch, at, beats in _TUNE], "key": "D minor"}
PITCHES = (62, 69, 67, 65, 64, 65, 62, 61, 62, 64, 69, 70, 69, 67, 65, 64, 62)
STEPS = (0, 4, 3, 2, 1, 2, 0, None, 0, 1, 4, 5, 4, 3, 2, 1, 0)
"""Of the scale, above the tonic; None is the raised seventh."""


def opened(seed: int, **fields: object) -> Controller:
    return Controller(parse_opening({"themes": {"hero": HERO}, **fields}), seed)


def lead_of(beats: list[ComposedBeat]) -> list[tuple[int, int]]:
    """Ticks from the first of them and pitches."""
    first = beats[0].index
    notes = [(TICKS * (beat.index - first), of_layer(beat, LEAD)) for beat in beats]
    return [(start + int(note["tick"]), int(note["pitch"])) for start, found in notes for note in found]


@pytest.mark.parametrize(
    "keys", [("D minor", "F# major"), ("C minor pentatonic", "Eb phrygian"), ("A dorian", "B lydian")]
)
def test_the_theme_is_heard_note_for_note_in_every_style_and_key(composer: Composer, keys: tuple[str, str]) -> None:
    """Through hits and the silence after them too, from the very first bar or later."""
    controllers = []
    for slot in range(SLOTS):
        key, style = keys[slot % 2], STYLES[(slot + SLOTS * (keys[0] == "A dorian")) % len(STYLES)]
        controller = opened(slot, style=style, key=key, energy=slot / SLOTS, tension=slot / SLOTS)
        controller.apply(parse_control({"type": "theme", "name": "hero", "at": "4 beats"}), 4800 * slot)
        for beat in range(slot % 3, 3):
            at = (controller.frame_of_beat(8 + 5 * beat) + 3000 * slot) / 48_000
            controller.apply(
                parse_control({"type": "hit", "at": {"seconds": at}, "strength": slot / SLOTS}), 4800 * slot
            )
        composer.open(slot, controller)
        controllers.append(controller)
    ticks = [round(TICKS * at) for _, at, _ in _TUNE]
    strong = fitting = 0
    for controller, beats in zip(controllers, take(composer, list(range(SLOTS)), 24), strict=True):
        begins = next(beat for beat in range(8) if (theme := controller.beat_intent(beat).theme) and theme[1] == 0)
        stated = beats[begins : begins + 16]
        heard, key = lead_of(stated), controller.beat_intent(begins).key
        assert [tick for tick, _ in heard] == ticks
        scale = SCALES[whole_scale(key.scale)]
        wanted = [(key.tonic + (11 if step is None else scale[step % 7])) % 12 for step in STEPS]
        assert [pitch % 12 for _, pitch in heard] == wanted
        contour = [np.sign(b - a) for (_, a), (_, b) in pairwise(heard)]
        assert contour == [np.sign(b - a) for a, b in pairwise(PITCHES)]
        assert all(RANGES[LEAD][0] <= pitch <= RANGES[LEAD][1] for _, pitch in heard)
        for tick, pitch in heard:
            if tick % (2 * TICKS) == 0 and controller.beat_intent(begins + tick // TICKS).cue != "cut":
                strong += 1
                fitting += pitch % 12 in chord_tones(stated[tick // TICKS])
    assert fitting >= 0.95 * strong


def test_a_theme_asked_for_under_way_changes_nothing_before_it(composer: Composer) -> None:
    for slot in (0, 1):
        composer.open(slot, opened(7, mood="epic"))
    controller = composer._controllers[1]
    before = take(composer, [0, 1], 5)
    composer.compose([0, 1], 60)
    applied = controller.apply(parse_control({"type": "theme", "name": "hero"}), controller.frame_of_beat(5))
    composer.revise(1, controller.beat_at(applied.changed_since))
    rest = take(composer, [0, 1], 20)
    plain, stated = (first + then for first, then in zip(before, rest, strict=True))
    begins = controller.beat_at(applied.effective.frame)
    for one, other in zip(plain[:begins], stated[:begins], strict=True):
        assert np.array_equal(one.notes, other.notes)
    assert len(lead_of(stated[begins : begins + 16])) == len(_TUNE)


def test_a_restored_composer_states_the_theme_to_its_end(composer: Composer) -> None:
    controller = opened(11, mood="night", theme="hero")
    check_restored(composer, controller, 6, 12)
    assert theme_notes(controller.beat_intent(0).theme[0], parse_key("D minor"))[0].tick == 0


def test_a_stinger_of_ones_own_is_in_the_chord_of_the_moment(composer: Composer) -> None:
    coin = {"notes": [{"pitch": "B5", "at": 0, "beats": 0.25}, {"pitch": "E6", "at": 0.25, "beats": 1.75}]}
    controllers = [
        Controller(parse_opening({"style": STYLES[slot], "stingers": {"coin": coin | {"key": "E major"}}}), slot)
        for slot in range(SLOTS)
    ]
    for slot, controller in enumerate(controllers):
        controller.apply(parse_control({"type": "stinger", "name": "coin", "at": "bar"}), 4800)
        composer.open(slot, controller)
    for beats in take(composer, list(range(SLOTS)), 8):
        (first, fifth), (second, root) = lead_of(beats[4:6])
        assert (first, second) == (0, 6) and 0 < root - fifth < 12
        triad = sorted((tone - beats[4].chord_root) % 12 for tone in chord_tones(beats[4]))
        assert (root - beats[4].chord_root) % 12 == 0 and (fifth - beats[4].chord_root) % 12 in triad
