"""Reading data sets: tiny MIDI files made in code go in, labelled pieces come out."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import symusic

from engine.notes import DRUM_PITCHES
from engine.score.piece import Piece
from engine.training import corpora, labels
from engine.training import midi_reader as reader
from engine.training.midi_reader import BASS, DRUMS, HARMONY, LEAD, TEXTURE
from moods.harmony import CHORD_QUALITY_NAMES, Key

QUARTER = 480
Notes = Sequence[tuple[float, float, int]]
"""(beat, beats long, MIDI note)"""

# i VI iv VII in A minor, one bar each: bass note and triad.
PROGRESSION = ((33, (57, 60, 64)), (41, (53, 57, 60)), (38, (57, 62, 65)), (43, (55, 59, 62)))


def midi(
    tracks: Sequence[tuple[int, Notes]], *, metre: tuple[int, int] = (4, 4), bpm: float = 120, velocity: int = 80
) -> bytes:
    """A MIDI file of (GM program, notes); program -1 is the drum channel."""
    score = symusic.Score(QUARTER)
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    score.tempos.append(symusic.Tempo(0, qpm=bpm))
    for program, notes in tracks:
        track = symusic.Track(program=max(program, 0), is_drum=program < 0)
        for beat, length, pitch in notes:
            track.notes.append(symusic.Note(round(beat * QUARTER), round(length * QUARTER), pitch, velocity))
        score.tracks.append(track)
    return score.dumps_midi()


def band(num_bars: int = 8, transpose: int = 0) -> list[tuple[int, Notes]]:
    """Drums, bass guitar, pad, arpeggio and flute over PROGRESSION."""
    drums, bass, pad, arpeggio, flute = [], [], [], [], []
    for bar in range(num_bars):
        root, triad = PROGRESSION[bar % 4]
        at = 4.0 * bar
        drums += [(at + beat, 0.25, pitch) for beat, pitch in ((0, 35), (1, 40), (2, 36), (3, 38))]
        drums += [(at + half / 2, 0.25, 42) for half in range(8)]
        bass += [(at + beat, 1.0, root + transpose) for beat in range(4)]
        pad += [(at, 4.0, pitch + transpose) for pitch in triad]
        arpeggio += [(at + step / 4, 0.25, triad[step % 3] + 12 + transpose) for step in range(16)]
        flute += [(at + beat, 1.0, triad[(beat + bar) % 3] + 24 + transpose) for beat in (0, 1, 2)]
    return [(-1, drums), (33, bass), (89, pad), (5, arpeggio), (73, flute)]


def read(content: bytes, source: str = "freedoom", path: str = "made.mid") -> list[Piece]:
    return list(corpora.read_pieces(content, source, path))


def test_tracks_find_their_layers() -> None:
    (piece,) = read(midi(band()))
    counts = np.bincount(piece.notes["layer"], minlength=5)
    assert counts[DRUMS] == 8 * 12
    assert counts[BASS] == 8 * 4
    assert counts[HARMONY] == 8 * 3
    assert counts[TEXTURE] == 8 * 16
    assert counts[LEAD] == 8 * 3


def test_drums_are_of_the_known_classes() -> None:
    (piece,) = read(midi([(-1, [(beat, 0.1, 22 + beat % 60) for beat in range(64)])]), "groove")
    assert set(piece.notes["pitch"].tolist()) <= set(DRUM_PITCHES)
    edges = [(bar * 4 + beat, 0.1, pitch) for bar in range(8) for beat, pitch in enumerate((22, 26, 40, 58))]
    (piece,) = read(midi([(-1, edges)]), "groove")
    assert set(piece.notes["pitch"].tolist()) == {42, 46, 38, 45}
    assert piece.layers_known == (True, False, False, False, False)
    assert len(piece.chords) == 0


def test_ranges_and_voices_are_kept() -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        tracks = [
            (int(program), [(b / 2, 3.0, int(p)) for b, p in enumerate(rng.integers(12, 115, 128))])
            for program in rng.choice((0, 24, 33, 48, 73, 81), 4)
        ]
        for piece in read(midi(tracks)):
            for layer, (low, high) in reader.LAYER_RANGES.items():
                notes = piece.notes[piece.notes["layer"] == layer]
                assert ((notes["pitch"] >= low) & (notes["pitch"] <= high)).all()
                for tick in np.unique(notes["tick"]):
                    sounding = (notes["tick"] <= tick) & (notes["tick"] + notes["length"] > tick)
                    assert sounding.sum() <= reader.LAYER_VOICES[layer]


def test_piano_is_split_into_voices() -> None:
    piano = []
    for bar in range(8):
        root, triad = PROGRESSION[bar % 4]
        piano += [(bar * 4.0, 4.0, root)] + [(bar * 4 + 1.0, 1.0, pitch) for pitch in triad]
        piano += [(bar * 4.0 + beat, 1.0, 76 - beat) for beat in range(4)]
    (piece,) = read(midi([(0, piano)]), "mutopia-pd-ccby")
    bass, lead = piece.notes[piece.notes["layer"] == BASS], piece.notes[piece.notes["layer"] == LEAD]
    assert set(bass["pitch"].tolist()) == {33, 41, 38, 43}
    assert set(lead["pitch"].tolist()) == {76, 75, 74, 73}
    assert (piece.notes["layer"] == HARMONY).sum() == 8 * 3


@pytest.mark.parametrize("transpose", [-3, 0, 5])
def test_key_and_chords_are_found(transpose: int) -> None:
    (piece,) = read(midi(band(16, transpose)))
    assert piece.key == Key((9 + transpose) % 12, "minor")
    expected = [(9, "min"), (5, "maj"), (2, "min"), (7, "maj")] * 4
    assert [(int(c["root"]), CHORD_QUALITY_NAMES[c["quality"]]) for c in piece.chords] == [
        ((root + transpose) % 12, quality) for root, quality in expected
    ]
    assert piece.chords["tick"].tolist() == [bar * 96 for bar in range(16)]


def test_a_piece_is_split_where_the_key_changes() -> None:
    first, second = band(16), band(16, 6)
    moved = [(p, [*a, *((t + 64, n, k) for t, n, k in b)]) for (p, a), (_, b) in zip(first, second, strict=True)]
    assert [str(piece.key) for piece in read(midi(moved))] == ["A minor", "Eb minor"]


def test_onsets_snap_to_sixteenths_and_triplets_but_human_drums_do_not() -> None:
    places = [(bar * 4 + beat + at, 0.2, 38) for bar in range(8) for beat, at in ((0, 0.03), (1, 0.27), (2, 0.35))]
    (snapped,) = read(midi([(-1, [*places, *((bar * 4.0, 0.2, 36) for bar in range(8))])]))
    assert set((snapped.notes["tick"] % 24).tolist()) == {0, 6, 8}
    assert 30 in snapped.notes["tick"] and 56 in snapped.notes["tick"]
    (human,) = read(midi([(-1, [*places, *((bar * 4.0, 0.2, 36) for bar in range(8))])]), "groove")
    assert 1 in human.notes["tick"]


def test_two_four_is_barred_in_four_and_three_four_is_not_read() -> None:
    (piece,) = read(midi(band(), metre=(2, 4)))
    assert len(piece.bars) == 8
    with pytest.raises(reader.UnusableFile, match="not in 4/4"):
        read(midi(band(), metre=(3, 4)))


def test_a_pickup_does_not_shift_the_bars() -> None:
    late = [(program, [(beat + 1, length, pitch) for beat, length, pitch in notes]) for program, notes in band()]
    late[-1] = (73, [(0.0, 1.0, 76), *late[-1][1]])
    piece = read(midi(late), "openscore-lieder")[0]
    bass = piece.notes[piece.notes["layer"] == BASS]
    assert bass["tick"][0] == 96
    assert piece.notes["tick"][0] == 72


def test_long_music_is_cut_and_silence_is_left_out() -> None:
    far = [(program, [(beat + 400, length, pitch) for beat, length, pitch in notes]) for program, notes in band(100)]
    pieces = read(midi(far))
    assert [len(piece.bars) for piece in pieces] == [corpora.MAX_BARS, 100 - corpora.MAX_BARS]
    for piece in pieces:
        assert piece.notes["tick"][0] == 0
        assert (piece.notes["tick"] + piece.notes["length"]).max() <= len(piece.bars) * 96


def test_the_last_chord_of_a_score_is_announced() -> None:
    *_, last = read(midi(band(8)), "openscore-string-quartets")
    assert [bar.beats_to_end for bar in last.bars] == [None] * 4 + [15, 11, 7, 3]
    assert all(bar.beats_to_end is None for bar in read(midi(band(8)))[0].bars)


def test_labels_follow_the_music() -> None:
    def mean(content: bytes, label: str) -> float:
        (piece,) = read(content)
        return float(np.mean([getattr(bar, label) for bar in piece.bars]))

    minor, calm = midi(band()), midi(band()[2:], bpm=70, velocity=40)
    happy = [(4 * bar, 4.0, pitch) for bar in range(8) for pitch in ((60, 64, 67), (65, 69, 72))[bar % 2]]
    major = midi([(89, happy), (73, [(beat, 1.0, 72 + (0, 4, 7, 5)[beat % 4]) for beat in range(32)])])
    clusters = midi([(89, [(4 * bar, 4.0, p) for bar in range(8) for p in (60, 61, 66, 67)]), band()[4]])
    assert mean(major, "valence") > mean(minor, "valence") + 0.5
    assert mean(minor, "energy") > mean(calm, "energy") + 0.2
    assert mean(minor, "density") > mean(major, "density") + 0.2
    assert mean(clusters, "tension") > mean(minor, "tension") + 0.2


def test_labels_stay_in_range_on_any_notes() -> None:
    (piece,) = read(midi(band()))
    for notes in (piece.notes[:0], piece.notes[:1], piece.notes):
        mood = labels.label_bars(notes, piece.chords[:0], piece.key, 120.0, 8)
        assert (np.abs(mood.valence) <= 1).all()
        for values in (mood.energy, mood.tension, mood.density):
            assert values.shape == (8,) and ((values >= 0) & (values <= 1)).all()


def test_folder_and_archive_give_the_same_pieces_and_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "open/freedoom").mkdir(parents=True)
    (tmp_path / "open/freedoom/d_e1m1.mid").write_bytes(midi(band()))
    (tmp_path / "open/freedoom/d_e1m2.mid").write_bytes(midi(band(12)))
    (tmp_path / "open/freedoom/bad.mid").write_bytes(b"MThd, but no more")
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed/freedoom.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "open/freedoom", "freedoom")
    lines: list[str] = []
    opened = list(corpora.read_corpora(tmp_path / "open", report=lines.append))
    packed = list(corpora.read_corpora(tmp_path / "packed", report=lambda line: None))
    assert [piece.source for piece in opened] == ["freedoom/d_e1m1.mid#0", "freedoom/d_e1m2.mid#0"]
    assert any("bad.mid" in line for line in lines)
    assert "3 files, 2 pieces, 20 bars" in lines[-1] and "broken MIDI 1" in lines[-1]
    for ours, theirs in zip(opened, packed, strict=True):
        assert ours.source == theirs.source
        np.testing.assert_array_equal(ours.notes, theirs.notes)


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(corpora.NoCorpora, match="freedoom"):
        corpora.read_corpora(tmp_path, report=lambda line: None)
