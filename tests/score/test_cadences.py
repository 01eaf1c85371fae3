"""What the form asks of harmony and tune where sections begin and end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.score.asked import asked_of
from engine.score.columns import make_columns
from engine.score.rules import Rules, write_rules
from engine.score.vocabulary import NUM_QUALITIES
from moods.controller import Controller
from moods.harmony import SCALES, Key
from moods.opening import parse_opening

_SEVEN_TONES = tuple(name for name, steps in SCALES.items() if len(steps) == 7 and name != "locrian")


def rules_of(cadence: str, scale: str, beat: int, tension: float = 0.1) -> Rules:
    """Of a beat (from 1) in the middle of a piece."""
    intent = Controller(parse_opening({"mood": "epic"}), 1).beat_intent(16)
    asked = asked_of([replace(intent, cadence=cadence, key=Key(0, scale), beat=beat, tension=tension)])
    rules = make_columns(Rules, 1)
    write_rules(rules, np.array([0]), asked, np.array([False]))
    return rules


def roots(rules: Rules) -> set[int]:
    """Semitones above the tonic on which there may be chords."""
    return set((np.flatnonzero(rules.chords[0]) // NUM_QUALITIES).tolist())


@pytest.mark.parametrize("scale", _SEVEN_TONES)
def test_a_section_begins_and_rests_on_the_tonic_and_its_end_leads_there(scale: str) -> None:
    assert roots(rules_of("home", scale, 1)) == roots(rules_of("rest", scale, 1)) == {0}
    assert rules_of("rest", scale, 1).rests_lead[0] and not rules_of("home", scale, 1).rests_lead[0]
    plagal, dominant = rules_of("plagal", scale, 3), rules_of("dominant", scale, 3)
    assert roots(plagal) and not roots(plagal) & {0, 7}
    assert 0 not in roots(dominant)
    assert plagal.must_have_chord[0] and dominant.must_have_chord[0]
    assert roots(rules_of("none", scale, 1)) > {0}


def test_nothing_comes_to_rest_where_tension_is_high() -> None:
    tense = rules_of("rest", "minor", 1, tension=0.9)
    assert len(roots(tense)) > 3 and not tense.rests_lead[0]
