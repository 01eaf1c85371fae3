"""A piece that loops leads into its own beginning; others come to their end."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Beat, Sound
from engine.render import begin, play
from engine.take import Take
from moods.opening import parse_opening
from tests.signals import rms_db

SEED = 7


@pytest.fixture(scope="module")
def generator() -> Generator:
    return open_generator(EngineConfig())


def played(generator: Generator, ending: str, **fields: object) -> tuple[np.ndarray, list[Sound], list[int]]:
    """Sound [T, 2] of four seconds, what it came in, and the frames of the beats that were told."""
    opening = parse_opening({"timeline": {"duration": 4, "ending": ending} | fields})
    assert opening.timeline is not None
    performance = begin(generator, Take(opening, SEED))
    beats: list[int] = []

    def note_beats() -> None:
        beats.extend(event.at.frame for event in performance.beginning() if isinstance(event, Beat))

    sounds = list(play(performance, opening.timeline.num_frames, note_beats, stems=True, notes=True))
    return np.concatenate([sound.pcm for sound in sounds]), sounds, beats


@pytest.mark.parametrize("style", ["ambient", "suspense"])
def test_a_loop_sounds_on_over_its_seam(generator: Generator, style: str) -> None:
    looped, sounds, beats = played(generator, "loop", style=style, energy=0.5)
    stopped, _, _ = played(generator, "stop", style=style, energy=0.5)
    assert len(looped) == 4 * 48_000
    # What rings over the end is heard over the beginning, which of itself begins softly.
    assert rms_db(looped[:24]) > rms_db(stopped[:24]) + 6
    assert abs(rms_db(looped[-960:]) - rms_db(looped[-1920:-960])) < 6
    steps = np.abs(np.diff(np.concatenate([looped[-4800:], looped[:4800]]).mean(axis=1)))
    assert steps[4799] <= np.quantile(steps, 0.999)
    stems = np.concatenate([sound.stems for sound in sounds if sound.stems is not None], axis=2)
    assert rms_db(stems.sum(axis=0).T - looped) < -90
    assert beats == sorted(set(beats)) and beats[-1] < len(looped)
    notes = np.concatenate([sound.notes for sound in sounds if sound.notes is not None])
    assert len(notes) and (np.diff(notes["frame"]) >= 0).all() and notes["frame"].max() < len(looped)


@pytest.mark.parametrize("ending", ["cadence", "ring", "fade", "stop"])
def test_an_ending_is_heard_to_its_end(generator: Generator, ending: str) -> None:
    sound, _, _ = played(generator, ending, style="hiphop", energy=0.3, duration=6)
    levels = [rms_db(sound[at : at + 2400]) for at in range(0, len(sound), 2400)]
    assert not sound[-1].any()
    assert max(levels[-(2 if ending in ("fade", "stop") else 20) :]) > -50
