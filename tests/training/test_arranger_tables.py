"""The arranger's two tables: what the offline scripts read is what the arranger gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.notes import DRUM_PITCHES
from engine.training.arranger import drums, loops
from engine.training.grooves import KINDS, fill_of
from engine.training.progressions import MOOD_VALENCE_TENSION, read_moods, read_songs

SONG = """# title: Made up
# artist: Nobody
# metre: 4/4
# tonic: D

0.0\tsilence
0.5\tA, verse, | D:maj | B:min7 | G:maj/3 | A:7 . D:maj A:sus4 |, (voice
9.0\tB, chorus, | G:maj A:maj | D:maj | N | D:maj |
"""


def test_songs_are_read_relative_to_their_tonic_beat_by_beat(tmp_path: Path) -> None:
    for name in ("0001", "0002", "0003"):
        folder = tmp_path / "billboard-2.0-salami_chords" / name
        folder.mkdir(parents=True)
        (folder / "salami_chords.txt").write_text(SONG if name != "0003" else SONG.replace("4/4", "3/4"))
    songs, _ = read_songs(tmp_path)
    assert songs["verse"] == {"0M:4 9m:4 5M:4 7M:2 0M:1 7s:1": 2}
    assert "chorus" not in songs  # a bar without a chord


def test_roman_numerals_are_read_in_their_mode(tmp_path: Path) -> None:
    families = {
        "prog_maj": [{"roman": ["I", "vi", "IM-5", "Vsus2"], "moods": ["Joyful", "New"]}],
        "prog_min": [{"roman": ["i", "VI", "VII", "ii"], "moods": ["Sad", "Dark"]}],
        "prog_modal": [{"roman": ["im", "bIIM", "#IVdim", "bviim"], "moods": ["Cadence"]}],
    }
    (tmp_path / "free-midi-chords-progressions.json").write_text(json.dumps(families))
    major, minor = read_moods(tmp_path)  # the third has no mood word
    assert major["loop"] == "0M 9m 0M 7s" and (major["valence"], major["tension"]) == MOOD_VALENCE_TENSION["Joyful"]
    assert minor["loop"] == "0m 8M 10M 2d" and minor["valence"] == pytest.approx(-0.8)


def test_a_fill_is_its_last_bar_without_the_stroke_it_leads_to() -> None:
    groove = [(tick, 36.0, 90.0) for tick in (0, 24, 48, 72)]
    idea = [(96 + tick, pitch, 80.0) for tick, pitch in ((0, 36.0), (48, 38.0), (54.4, 38.0), (72, 50.0), (83.6, 45.0))]
    arrival = [(192.5, 49.0, 110.0), (192.5, 36.0, 100.0)]
    fill = fill_of(np.array(groove + idea + arrival))
    assert fill == [(0, 36, 80), (48, 38, 80), (54, 38, 80), (72, 50, 80), (84, 45, 80)]
    assert fill_of(np.array(groove)) is None


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_every_kind_of_playing_has_fills_and_a_feel(kind: str) -> None:
    fills = drums.fills_of(kind)
    assert len(fills) >= 20
    for fill in fills:
        assert all(0 <= tick < 96 and name in DRUM_PITCHES.values() for tick, name, _ in fill)
        assert all(any(tick // 24 == beat for tick, _, _ in fill) for beat in (2, 3))
    for voice in ("kick", "snare", "hat", "ride", "tom"):
        assert np.array(drums.feel_of(kind)[voice]).shape == (16, 3)


def test_every_loop_of_the_table_is_playable() -> None:
    table = loops.progressions()
    texts = [entry["loop"] for entry in table["moods"]] + [loop for kind in table["songs"].values() for loop in kind]
    assert len(texts) > 500
    for text in texts:
        assert all(step.beats >= 1 and 0 <= step.interval < 12 for step in loops.parse(text))
