"""Melodies that a user gives: read, kept as steps of a scale, played where and as long as they are asked for."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import pickle
import random
import struct

import mido
import pytest

from moods.control import parse_control
from moods.controller import Controller
from moods.errors import BadControl, MoodsError, UnknownStinger, UnknownTheme
from moods.harmony import Key
from moods.opening import Opening, parse_opening
from moods.theme import MAX_BARS, MAX_MIDI_BYTES, find_key
from moods.tune import Tune

SECOND = 48_000
HERO = [
    {"pitch": "D4", "at": 0}, {"pitch": "A4", "at": 1, "beats": 1.5}, {"pitch": "G4", "at": 2.5, "beats": 0.5},
    {"pitch": "F4", "at": 3}, {"pitch": "C#4", "at": 4}, {"pitch": "D4", "at": 5, "beats": 3},
]  # fmt: skip


def tune_of(**melody: object) -> Tune:
    return parse_opening({"themes": {"hero": melody}}).themes["hero"].tune


def song(*tracks: list[tuple[int, int, int, int]], signature: str | None = None) -> str:
    """A MIDI file in base64 of (beat · 480, ticks, pitch, channel)."""
    file = mido.MidiFile(ticks_per_beat=480)
    for notes in tracks:
        events = [(at, mido.Message("note_on", note=pitch, channel=channel)) for at, _, pitch, channel in notes]
        events += [
            (at + length, mido.Message("note_off", note=pitch, channel=channel)) for at, length, pitch, channel in notes
        ]
        events.sort(key=lambda event: (event[0], event[1].type == "note_on"))
        track, now = mido.MidiTrack(), 0
        if signature is not None:
            track.append(mido.MetaMessage("key_signature", key=signature))
        for at, message in events:
            track.append(message.copy(time=at - now))
            now = at
        file.tracks.append(track)
    out = io.BytesIO()
    file.save(file=out)
    return base64.b64encode(out.getvalue()).decode()


def test_a_theme_keeps_its_steps_in_every_scale_and_its_own_notes_in_its_own() -> None:
    tune = tune_of(notes=HERO, key="D minor")
    assert [note.onset for note in tune.notes] == [0, 1, 2.5, 3, 4, 5] and tune.beats == 8
    minor, major = (tune.in_scale(scale) for scale in ("minor", "major"))
    first = minor[0]
    assert [pitch - first for pitch in minor] == [0, 7, 5, 3, -1, 0]
    assert [pitch - first for pitch in major] == [
        0,
        7,
        5,
        4,
        -1,
        0,
    ]  # the raised seventh stays where it leads home from
    assert tune.in_scale("minor pentatonic") == minor and tune.in_scale("lydian")[2] == first + 6


def test_a_midi_file_is_the_same_theme_as_its_notes() -> None:
    pitches = (62, 69, 67, 65, 61, 62)
    spelled = [
        (int(480 * note["at"]), int(480 * note.get("beats", 1)), pitch)
        for note, pitch in zip(HERO, pitches, strict=True)
    ]
    melody = [(4 * 480 + at, length, pitch, 0) for at, length, pitch in spelled]  # from the second bar on
    chords = [(4 * 480 + bar * 1920, 1920, pitch, 1) for bar in (0, 1) for pitch in (50, 53, 57)]
    drums = [(beat * 480, 60, 90, 9) for beat in range(12)]
    assert tune_of(midi=song(melody, signature="Dm")) == tune_of(notes=HERO, key="D minor")
    assert tune_of(midi=song(melody, chords, drums), key="D minor") == tune_of(notes=HERO, key="D minor")


def test_the_highest_of_notes_that_sound_together_is_the_melody() -> None:
    held = [{"pitch": 74, "at": 0, "beats": 4}, {"pitch": 60, "at": 0, "beats": 1}, {"pitch": 62, "at": 1, "beats": 1}]
    assert tune_of(notes=held, key="C major") == tune_of(notes=held[:1], key="C major")
    slurred = [{"pitch": 74, "at": 0, "beats": 1.25}, {"pitch": 72, "at": 1, "beats": 1}]
    assert [(note.onset, note.beats) for note in tune_of(notes=slurred, key="C major").notes] == [(0, 1), (1, 1)]


def test_the_key_of_a_melody_is_found() -> None:
    triads = {"major": (0, 4, 7, 12, 7, 5, 4, 2, 0), "minor": (0, 3, 7, 12, 7, 5, 3, 2, 0)}
    for scale, steps in triads.items():
        for tonic in range(12):
            assert find_key([(at, 1.0, 60 + tonic + step) for at, step in enumerate(steps)]) == Key(tonic, scale)


def far(num_bytes: int) -> str:
    """A MIDI file in base64 with a note whose end is further away than any number tells."""
    track = b"\0\x90\x3c\x40" + b"\xff" * num_bytes + b"\x7f\x80\x3c\x40\0\xff\x2f\0"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96)
    return base64.b64encode(header + b"MTrk" + struct.pack(">I", len(track)) + track).decode()


BAD_MELODIES = [
    ({}, "notes and midi are both missing"),
    ({"notes": HERO, "midi": "TVRoZA=="}, "notes and midi are both given"),
    ({"notes": []}, "at least 1 item"),
    ({"notes": [{"pitch": "H4", "at": 0}]}, 'pitch is "H4"; expected a MIDI number 0 … 127 or a name such as "D4"'),
    ({"notes": [{"pitch": 128, "at": 0}]}, "pitch is 128; allowed is 0 … 127"),
    ({"notes": [{"pitch": 60, "at": 32}]}, "at is 32; allowed is 0 … "),
    ({"notes": [{"pitch": 60, "at": at / 20} for at in range(20)]}, "20 notes in a beat; allowed are 8"),
    ({"notes": HERO, "key": "H minor"}, "nearest: B minor"),
    ({"midi": "no base64!"}, "expected a MIDI file in base64"),
    ({"midi": "TVRoZA=="}, "expected a MIDI file"),
    ({"midi": "A" * (2 * MAX_MIDI_BYTES)}, "allowed is a file of up to 8 KiB"),
    ({"midi": song([(0, 480, 60, 9)])}, "no notes but drums"),
    ({"midi": far(145)}, "notes after beat 10000"),
    ({"midi": far(2000)}, "notes after beat 10000"),
    ({"midi": song([(at * 1920, 480, 60, 0) for at in range(9)])}, f"9 bars of four beats; allowed are 1 … {MAX_BARS}"),
    ({"melody": HERO}, "not a field here"),
]  # fmt: skip


@pytest.mark.parametrize(("melody", "text"), BAD_MELODIES, ids=lambda value: str(value)[:40])
def test_what_is_wrong_with_a_melody_is_told_with_its_name(melody: dict, text: str) -> None:
    with pytest.raises(BadControl, match=r"^themes\.hero: ") as raised:
        parse_opening({"themes": {"hero": melody}})
    assert text in str(raised.value) and "\n" not in str(raised.value)


def test_no_bytes_break_the_reading_of_midi() -> None:
    good, rng = (
        base64.b64decode(song([(at * 240, 240, 60 + at, 0) for at in range(8)], signature="F#m")),
        random.Random(5),
    )
    for _ in range(400):
        broken = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(broken))
            match rng.randrange(3):
                case 0:
                    broken[place] = rng.randrange(256)
                case 1:
                    del broken[max(1, place) :]
                case _:
                    broken.insert(place, rng.randrange(256))
        with contextlib.suppress(MoodsError):
            parse_opening({"themes": {"x": {"midi": base64.b64encode(broken).decode()}}})


def test_an_opening_with_melodies_survives_json_and_pickling() -> None:
    themes, coin = {"hero": {"notes": HERO, "key": "D minor"}}, {"midi": song([(0, 99, 80, 0)])}
    asked = {"themes": themes, "theme": "hero", "stingers": {"coin": coin}}
    opening = parse_opening(asked)
    assert parse_opening(json.loads(json.dumps(opening.asked()))) == opening == pickle.loads(pickle.dumps(opening))
    assert pickle.loads(pickle.dumps(opening)).themes["hero"].tune == opening.themes["hero"].tune


def test_names_that_no_melody_has_are_refused_with_those_near() -> None:
    themes = {"hero": {"notes": HERO}}
    with pytest.raises(UnknownTheme, match="nearest: hero"):
        parse_opening({"themes": themes, "theme": "herro"})
    with pytest.raises(BadControl, match=r"^states\.a: unknown theme"):
        parse_opening({"themes": themes, "states": {"a": {"theme": "villain"}}})
    controller = Controller(parse_opening({"themes": themes, "stingers": {"coin": themes["hero"]}}), 1)
    before = controller.snapshot()
    with pytest.raises(UnknownTheme, match="nearest: hero"):
        controller.apply(parse_control({"type": "theme", "name": "heroo"}), 0)
    with pytest.raises(UnknownStinger, match="nearest: reveal"):
        controller.apply(parse_control({"type": "stinger", "name": "revel"}), 0)
    with pytest.raises(UnknownStinger, match="nearest: coin"):
        controller.apply(parse_control({"type": "stinger", "name": "coim"}), 0)
    assert controller.snapshot() == before


def stated(controller: Controller, num_beats: int) -> list[int | None]:
    """For each beat, how far the theme is."""
    themes = [controller.beat_intent(beat).theme for beat in range(num_beats)]
    return [None if theme is None else theme[1] for theme in themes]


def opened(**fields: object) -> Controller:
    return Controller(parse_opening({"themes": {"hero": {"notes": HERO, "key": "D minor"}}, **fields}), 3)


def test_a_theme_is_stated_where_it_is_asked_and_again_with_each_section() -> None:
    controller = opened()
    applied = controller.apply(parse_control({"type": "theme", "name": "hero", "at": "bar"}), SECOND)
    first = applied.fields["theme"].begin
    beat = controller.beat_at(first.frame)
    assert beat % 4 == 0 and applied.changed_since == first.frame == controller.frame_of_beat(beat)
    sections = [controller.section(each)[0] for each in range(300)]
    begun = [beat] + [
        each for each in range(beat + 8, 300) if sections[each] in "AB" and sections[each] != sections[each - 1]
    ]
    found = [each for each, since in enumerate(stated(controller, 300)) if since == 0]
    assert set(begun) <= set(found) and len(begun) > 5
    lead_in = [controller.beat_intent(each).active_layers[4] for each in range(beat, beat + 8)]
    assert lead_in == [True] * 8
    for start in begun[:-1]:
        assert stated(controller, 300)[start : start + 8] == list(range(8))


def test_a_muted_lead_and_a_stinger_have_the_last_word() -> None:
    controller = opened(theme="hero", layers={"lead": "mute"})
    assert stated(controller, 8) == [None] * 8 and not controller.beat_intent(0).active_layers[4]
    controller = opened(theme="hero")
    controller.apply(parse_control({"type": "stinger", "name": "alert", "at": "bar"}), 0)
    assert stated(controller, 8) == [0, 1, 2, 3, None, 5, 6, 7]


def test_a_later_theme_replaces_what_waits_and_null_lays_it_down() -> None:
    controller = opened(theme="hero")
    controller.apply(parse_control({"type": "theme", "name": "hero", "at": "phrase", "id": "a"}), SECOND)
    controller.apply(parse_control({"type": "theme", "name": None, "at": "bar"}), SECOND)
    assert not any(since is not None for since in stated(controller, 200)[4:])
    with pytest.raises(BadControl):
        controller.apply(parse_control({"type": "cancel", "target": "a"}), SECOND)


def test_a_theme_that_waits_can_be_cancelled_and_keeps_its_second() -> None:
    controller = opened()
    controller.apply(parse_control({"type": "theme", "name": "hero", "at": {"seconds": 20}, "id": "t"}), 0)
    controller.apply(parse_control({"type": "steer", "set": {"bpm": 150}}), SECOND)
    at = next(beat for beat, since in enumerate(stated(controller, 100)) if since == 0)
    assert controller.frame_of_beat(at - 1) < 20 * SECOND <= controller.frame_of_beat(at)
    controller.apply(parse_control({"type": "cancel", "target": "t"}), SECOND)
    assert stated(controller, 100) == [None] * 100


def test_a_restored_controller_states_the_same() -> None:
    opening = parse_opening({"themes": {"hero": {"notes": HERO, "key": "D minor"}}, "theme": "hero"})
    controller = Controller(opening, 3)
    controller.apply(parse_control({"type": "theme", "name": "hero", "at": {"seconds": 9}}), SECOND)
    controller.forget_before(5 * SECOND)
    again = Controller.restore(json.loads(json.dumps(controller.snapshot())), opening)
    beats = range(controller.beat_at(5 * SECOND), 200)
    assert [again.beat_intent(beat) for beat in beats] == [controller.beat_intent(beat) for beat in beats]
    assert isinstance(opening, Opening)
