"""A MIDI file has the music's own beats, notes, keys and marks, whoever reads it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import mido
import numpy as np
import pytest
import symusic

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Beat, Performance, Section, step
from engine.take import Entry, Take
from moods.control import parse_control
from moods.harmony import SCALES, Key, parse_key
from moods.intent import LAYERS
from moods.opening import Opening
from streaming.files.midi import MidiScore, key_signature

SECONDS = 16


class Played:
    """A performance, what it told, and the file of it."""

    def __init__(self, generator: Generator) -> None:
        faster = parse_control({"type": "steer", "set": {"bpm": 150}, "over": "8 beats"})
        take = Take(Opening(mood="epic", bpm=97.3, key="D dorian"), 5, (Entry(0, 100, faster),))
        performance = Performance.of(generator, 0, take)
        score = MidiScore("epic")
        self.beats: list[int] = []
        self.notes: list[Any] = []
        for block in range(SECONDS * 50):
            for event in performance.beginning():
                if isinstance(event, Beat):
                    self.beats.append(event.at.frame)
                    score.add_beat(event.at.frame)
                    score.add_key(event.at.frame, performance.mood().key)
                    score.add_programs(event.at.frame, generator.programs(0))
                elif isinstance(event, Section):
                    score.add_mark(event.at.frame, event.name)
            (sound,) = step(generator, [performance], notes=True)
            assert sound.notes is not None, block
            score.add_notes(sound.notes)
            self.notes += sound.notes.tolist()
        performance.close()
        file = io.BytesIO()
        score.write(file, SECONDS * 50 * BLOCK_FRAMES)
        self.document = file.getvalue()


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    yield Played(open_generator(EngineConfig(max_slots=1)))


def test_every_note_is_there_at_its_time(played: Played) -> None:
    read = symusic.Score.from_midi(played.document, ttype="second")
    assert [track.name for track in read.tracks] == [
        LAYERS[layer] for layer in sorted({row[2] for row in played.notes})
    ]
    for track in read.tracks:
        own = [row for row in played.notes if LAYERS[row[2]] == track.name]
        assert track.is_drum == (track.name == "drums")
        assert sorted(note.pitch for note in track.notes) == sorted(row[3] for row in own)
        times = sorted(note.time for note in track.notes)
        asked = sorted(row[0] / SAMPLE_RATE for row in own)
        assert np.abs(np.array(times) - asked).max() < 0.0015  # a tick is 1.3 ms at most


def test_beats_lie_where_the_music_has_them(played: Played) -> None:
    song = mido.MidiFile(file=io.BytesIO(played.document))
    tempi = [message for message in mido.merge_tracks(song.tracks) if message.type == "set_tempo"]
    assert len(tempi) > 5, "the tempo glides"
    marks, tick, second, tempo = [], 0, 0.0, 500_000
    for message in mido.merge_tracks(song.tracks):
        second += mido.tick2second(message.time, song.ticks_per_beat, tempo)
        before, tick = tick, tick + message.time
        marks += [second] if before // 480 != tick // 480 and tick % 480 == 0 else []
        tempo = message.tempo if message.type == "set_tempo" else tempo
    expected = np.array(played.beats) / SAMPLE_RATE
    assert len(marks) > 8
    assert all(np.abs(expected - mark).min() < 2e-5 or mark > expected[-1] for mark in marks)
    assert song.length == pytest.approx(SECONDS, abs=0.002)


def test_keys_and_programs_are_told(played: Played) -> None:
    song = mido.MidiFile(file=io.BytesIO(played.document))
    assert [message.key for message in song.tracks[0] if message.type == "key_signature"][0] == "C"
    assert "D dorian" in [message.text for message in song.tracks[0] if message.type == "text"]
    assert "A" in [message.text for message in song.tracks[0] if message.type == "marker"]
    lead = song.tracks[1 + LAYERS.index("lead")]
    assert [message.type for message in lead][:2] == ["track_name", "program_change"]


@pytest.mark.parametrize(
    "key, signature",
    [("A minor", "Am"), ("D dorian", "C"), ("E phrygian", "C"), ("Gb lydian", "Db"), ("C harmonic minor", "Cm"),
     ("F# major", "F#"), ("A minor pentatonic", "Am"), ("B locrian", "C")],
)  # fmt: skip
def test_a_mode_has_the_signature_of_its_major_scale(key: str, signature: str) -> None:
    assert key_signature(parse_key(key)) == signature


def test_every_key_has_a_signature() -> None:
    for scale in SCALES:
        for tonic in range(12):
            mido.MetaMessage("key_signature", key=key_signature(Key(tonic, scale)))
