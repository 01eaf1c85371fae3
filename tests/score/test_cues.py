"""Commands as music, on the shipped weights: what a hit, a stinger, a fill and a new key ask for is always played."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from engine.notes import DRUM_PITCHES
from engine.performance import Performance
from engine.score.composer import ComposedBeat, Composer
from engine.score.rules import LEAD_LEAPS, VOICING_REACH, strike_tick
from engine.score.stinger import stinger_notes
from engine.score_generator import ScoreGenerator
from moods.control import parse_control
from moods.controller import Applied, Controller
from moods.form import Form
from moods.harmony import CHORD_QUALITIES, Key, parse_key
from moods.intent import LAYERS, STYLES
from moods.opening import Opening, parse_opening
from moods.stinger import list_stingers
from tests.score.conftest import SLOTS, Recorder
from tests.streams import stream_up_to

DRUMS, BASS, HARMONY, TEXTURE, LEAD = range(len(LAYERS))
TICKS = 24
PITCH_OF = {name: pitch for pitch, name in DRUM_PITCHES.items()}
SECOND = 48_000


def station(seed: int, **fields) -> Controller:
    return Controller(Opening(**fields), seed)


def apply(controller: Controller, frame: int = 0, **control) -> Applied:
    return controller.apply(parse_control(control), frame)


def take(composer: Composer, slots: list[int], count: int) -> list[list[ComposedBeat]]:
    """`count` beats of each of `slots`."""
    beats = []
    for _ in range(count):
        composer.prepare(slots)
        beats.append([composer.take(slot) for slot in slots])
    return [list(of_slot) for of_slot in zip(*beats, strict=True)]


def check_restored(composer: Composer, controller: Controller, beats_before: int, count: int) -> None:
    """A snapshot goes on in another slot as the first one does."""
    composer.open(0, controller)
    take(composer, [0], beats_before)
    kept = composer.snapshot(0)
    on = take(composer, [0], count)[0]
    composer.close(0)
    composer.restore(3, controller, kept)
    again = take(composer, [3], count)[0]
    assert all(np.array_equal(one.notes, other.notes) for one, other in zip(on, again, strict=True))


def chord_tones(beat: ComposedBeat) -> set[int]:
    return {(beat.chord_root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[beat.chord_quality]}


def of_layer(beat: ComposedBeat, layer: int) -> np.ndarray:
    return beat.notes[beat.notes["layer"] == layer]


def check_hit(controller: Controller, beats: list[ComposedBeat], hit: int) -> None:
    """The beat `hit` is struck by all, what comes before leads in, what comes after is cut."""
    beat, intent = beats[hit], controller.beat_intent(hit)
    assert intent.cue == "hit"
    tick = strike_tick(intent.hit_offset)
    assert set(beat.notes["tick"].tolist()) == {tick}
    playing = [layer for layer, is_active in enumerate(intent.active_layers) if is_active]
    assert set(playing) - {DRUMS} <= set(beat.notes["layer"].tolist())
    drums = set(of_layer(beat, DRUMS)["pitch"].tolist())
    if DRUMS in playing:
        assert drums == {PITCH_OF["kick"], PITCH_OF["crash"]}
    else:
        assert drums == ({PITCH_OF["crash"]} if intent.hit_strength >= 0.5 else set())
    tones = chord_tones(beat)
    if HARMONY in playing:
        assert {int(pitch) % 12 for pitch in of_layer(beat, HARMONY)["pitch"]} == tones
    assert {int(pitch) % 12 for pitch in of_layer(beat, BASS)["pitch"]} <= {beat.chord_root}
    assert {int(pitch) % 12 for pitch in beat.notes[beat.notes["layer"] > 0]["pitch"]} <= tones
    assert beat.notes["velocity"].min() >= 64 + 56 * intent.hit_strength - 4
    cut = [after for after in range(hit + 1, hit + 4) if controller.beat_intent(after).cue == "cut"]
    pitched = beat.notes[beat.notes["layer"] > 0]
    assert tick + pitched["length"].min() >= TICKS * (1 + len(cut))
    assert all(len(beats[after].notes) == 0 for after in cut)
    if controller.beat_intent(hit - 1).cue == "fill":
        check_lead_in(beats[hit - 1])


def check_lead_in(beat: ComposedBeat, layers: range = range(len(LAYERS)), num_onsets: int = 2) -> None:
    """One of `layers` has at least `num_onsets` onsets that grow louder."""
    rising = []
    for layer in layers:
        notes = of_layer(beat, layer)
        loudness = [notes["velocity"][notes["tick"] == tick].max() for tick in np.unique(notes["tick"])]
        rising.append(len(loudness) >= num_onsets and all(a < b or b == 124 for a, b in pairwise(loudness)))
    assert any(rising), beat.notes


@pytest.mark.parametrize("style", STYLES)
def test_every_layer_strikes_a_hit_and_then_is_silent(composer, style: str) -> None:
    """Strong and weak hits, on any beat of the bar, calm and driving."""
    controllers, hits = [], []
    for slot in range(SLOTS):
        seed = STYLES.index(style) * SLOTS + slot
        controller = station(seed, style=style, energy=slot % 5 / 4, tension=0.8 if slot == 3 else 0.2)
        composer.open(slot, controller)
        places = []
        for number, beat in enumerate((8 + slot % 4, 15)):
            at = controller.frame_of_beat(beat) / SECOND + 0.04 * slot
            applied = apply(controller, type="hit", at={"seconds": at}, strength=(1, 0.6, 0.3, 0)[(slot + number) % 4])
            places.append(controller.beat_at(applied.effective.frame))
        controllers.append(controller)
        hits.append(places)
    for controller, beats, places in zip(controllers, take(composer, list(range(SLOTS)), 20), hits, strict=True):
        for hit in places:
            check_hit(controller, beats, hit)


def test_a_hit_does_not_change_what_was_composed_before_it(composer) -> None:
    controllers = [station(5, mood="epic"), station(5, mood="epic")]
    for slot, controller in enumerate(controllers):
        composer.open(slot, controller)
    before = take(composer, [0, 1], 9)
    composer.compose([1], 400)
    applied = apply(controllers[1], controllers[1].frame_of_beat(8), type="hit", at="beat", strength=1)
    assert applied.changed_since == controllers[1].frame_of_beat(9) and "pickup" not in applied.fields
    composer.revise(1, 9)
    plain, struck = take(composer, [0, 1], 8)
    assert [beat.notes.tobytes() for beat in before[0]] == [beat.notes.tobytes() for beat in before[1]]
    assert struck[0].notes.tobytes() != plain[0].notes.tobytes()
    check_hit(controllers[1], before[1] + struck, 9)


@pytest.mark.parametrize("seconds", [4.0, 4.321, 4.5317, 5.499])
def test_what_is_struck_sounds_at_the_acknowledged_frame(composer, seconds: float) -> None:
    recorder = Recorder()
    performance = Performance(ScoreGenerator(composer, recorder, SLOTS), 0, Opening(mood="epic", bpm=97), 4)
    frame = performance.apply(parse_control({"type": "hit", "at": {"seconds": seconds}})).effective.frame
    stream_up_to(performance, 320)
    controller, sounds = performance.controller, np.concatenate(recorder.sounds[0])
    start = controller.frame_of_beat(controller.beat_at(frame))
    end = controller.frame_of_beat(controller.beat_at(frame) + 1)
    inside = sounds[(sounds["frame"] >= start) & (sounds["frame"] < end)]
    assert frame == round(seconds * SECOND) and set(inside["frame"].tolist()) == {frame}


def test_a_restored_station_plays_the_same_hits_stingers_and_pivots(composer) -> None:
    controllers = [station(6, mood="travel", key="C major") for _ in range(2)]
    for slot, controller in enumerate(controllers):
        apply(controller, type="hit", at={"seconds": controller.frame_of_beat(9) / SECOND + 0.2})
        apply(controller, type="stinger", name="logo", at={"seconds": controller.frame_of_beat(11) / SECOND})
        apply(controller, type="steer", set={"key": "E major"})
        composer.open(slot, controller)
    whole = take(composer, [0], 24)[0]
    first = take(composer, [1], 10)[0]
    composer.compose([1], 30)
    copy = Controller.restore(json.loads(json.dumps(controllers[1].snapshot())))
    copy.forget_before(copy.frame_of_beat(9))
    composer.restore(5, copy, composer.snapshot(1))
    again = first + take(composer, [5], 14)[0]
    assert [beat.notes.tobytes() for beat in again] == [beat.notes.tobytes() for beat in whole]
    check_hit(controllers[0], whole, 9)


def test_a_hit_may_be_the_last_chord(composer) -> None:
    controller = station(3, mood="epic", key="D minor", tension=0.1)
    last = controller.beat_at(apply(controller, type="end", how="ring", at={"seconds": 12}).changed_since)
    apply(controller, type="hit", at={"seconds": controller.frame_of_beat(last) / SECOND})
    composer.open(0, controller)
    (beats,) = take(composer, [0], last + 4)
    check_hit(controller, beats, last)
    assert beats[last].chord_root == 2 and not any(len(beat.notes) for beat in beats[last + 1 :])


@pytest.mark.long
@pytest.mark.slow
def test_drums_lead_into_new_sections(composer) -> None:
    controllers = [station(seed, style="upbeat", energy=0.9) for seed in range(SLOTS)]
    for slot, controller in enumerate(controllers):
        composer.open(slot, controller)
    num_fills = 0
    for controller, beats in zip(controllers, take(composer, list(range(SLOTS)), 64), strict=True):
        for beat in beats:
            if controller.beat_intent(beat.index).cue == "fill":
                check_lead_in(beat, range(DRUMS, DRUMS + 1), num_onsets=4)
                num_fills += 1
    assert num_fills > SLOTS


@pytest.mark.parametrize(
    ("key", "ahead"),
    [("C major", "G major"), ("A minor", "C minor"), ("D dorian", "Ab lydian"), ("C major", "F# major")],
)
def test_a_new_key_is_entered_by_a_pivot(composer, key: str, ahead: str) -> None:
    old, new = parse_key(key), parse_key(ahead)
    controllers = [station(seed, style=STYLES[seed], key=key, tension=0.2, energy=0.6) for seed in range(SLOTS)]
    for slot, controller in enumerate(controllers):
        applied = apply(controller, type="steer", set={"key": ahead})
        assert applied.changed_since == controller.frame_of_beat(12)
        composer.open(slot, controller)
    for beats in take(composer, list(range(SLOTS)), 20):
        pivots = [chord_tones(beat) <= old.pitch_classes & new.pitch_classes for beat in beats[12:16]]
        assert all(pivots) or len(old.pitch_classes & new.pitch_classes) < 3
        assert beats[16].chord_root == new.tonic and chord_tones(beats[16]) <= new.pitch_classes
        for beat in beats:
            heard = {int(pitch) % 12 for pitch in beat.notes[beat.notes["layer"] > 0]["pitch"]}
            assert heard <= (old if beat.index < 16 else new).pitch_classes
        check_voices_lead_on(beats, 16)


def check_voices_lead_on(beats: list[ComposedBeat], change: int) -> None:
    """Across the beginning of `change` lead and harmony move no further than they may within a key."""
    leads = [int(pitch) for beat in beats for pitch in of_layer(beat, LEAD)["pitch"]]
    num_before = sum(len(of_layer(beat, LEAD)) for beat in beats[:change])
    if 0 < num_before < len(leads):
        leap = abs(leads[num_before] - leads[num_before - 1])
        assert leap <= LEAD_LEAPS or leap == 12
    chords = [of_layer(beat, HARMONY) for beat in beats]
    before = [notes for notes in chords[:change] if len(notes)][-1]
    after = next((notes for notes in chords[change:] if len(notes)), None)
    if after is None:
        return  # the harmony pauses in the new section
    last = before["pitch"][before["tick"] == before["tick"][-1]]
    assert abs(2 * int(after["pitch"][0]) - int(last.min()) - int(last.max())) <= 2 * VOICING_REACH


def test_a_key_that_the_form_goes_to_is_entered_by_a_pivot(composer) -> None:
    bar, seed = min((first_shift(Form(seed)), seed) for seed in range(100))
    controller = station(seed, style="upbeat", tension=0.2)
    change = 4 * bar
    ahead, new = controller.beat_intent(change - 4), controller.beat_intent(change).key
    assert ahead.key_ahead == new != ahead.key and controller.beat_intent(change - 5).key_ahead is None
    composer.open(0, controller)
    (beats,) = take(composer, [0], change + 1)
    common = ahead.key.pitch_classes & new.pitch_classes
    assert all(chord_tones(beat) <= common for beat in beats[change - 4 : change])
    assert beats[change].chord_root == new.tonic


def first_shift(form: Form) -> int:
    """The bar from which on the form is in another key."""
    return next((bar for bar in range(1, 400) if form.key_shift(bar) != form.key_shift(bar - 1)), 400)


@pytest.mark.parametrize("name", [figure.name for figure in list_stingers()])
def test_a_stinger_is_in_key_and_known_by_rhythm_and_contour(composer, name: str) -> None:
    controllers = [station(seed, style=STYLES[seed], tension=0.2, energy=0.3) for seed in range(SLOTS)]
    for slot, controller in enumerate(controllers):
        apply(controller, type="stinger", name=name, at={"seconds": controller.frame_of_beat(6) / SECOND})
        composer.open(slot, controller)
    shapes, pitches = set(), set()
    length = next(figure.beats for figure in list_stingers() if figure.name == name)
    for controller, beats in zip(controllers, take(composer, list(range(SLOTS)), 12), strict=True):
        lead = [
            (TICKS * beat.index + int(note["tick"]), int(note["pitch"]))
            for beat in beats[6 : 6 + length]
            for note in of_layer(beat, LEAD)
        ]
        contour = tuple(int(np.sign(b - a)) for (_, a), (_, b) in pairwise(lead))
        shapes.add((tuple(tick for tick, _ in lead), contour))
        pitches.add(tuple(pitch for _, pitch in lead))
        for beat in beats[6 : 6 + length]:
            heard = {int(pitch) % 12 for pitch in beat.notes[beat.notes["layer"] > 0]["pitch"]}
            assert heard <= controller.beat_intent(beat.index).key.pitch_classes
    assert len(shapes) == 1 and len(pitches) > 2


def test_a_stinger_goes_over_into_another_mode_of_the_same_tonic(composer) -> None:
    """The harmony waits for a figure, but not on a chord that the new mode has not."""
    controllers = [station(seed, style=STYLES[seed], key="C minor", tension=0.2) for seed in range(SLOTS)]
    changes = []
    for slot, controller in enumerate(controllers):
        apply(controller, controller.frame_of_beat(9), type="steer", set={"key": "C major"}, at="bar")
        keys = [controller.beat_intent(beat).key for beat in range(24)]
        changes.append(next(beat for beat in range(9, 24) if keys[beat] != keys[8]))
        at = {"seconds": controller.frame_of_beat(changes[-1] - 2) / SECOND}
        apply(controller, controller.frame_of_beat(9), type="stinger", name=("fail", "suspense")[slot % 2], at=at)
        composer.open(slot, controller)
    for controller, change, beats in zip(controllers, changes, take(composer, list(range(SLOTS)), 24), strict=True):
        for beat in beats[change - 2 : change + 2]:
            heard = {int(pitch) % 12 for pitch in beat.notes[beat.notes["layer"] > 0]["pitch"]}
            assert heard <= controller.beat_intent(beat.index).key.pitch_classes
            assert (beat.notes["pitch"] > 20).all()


def test_stingers_differ_from_each_other_and_keep_to_their_ranges() -> None:
    key, rhythms = Key(9, "minor"), set()
    for figure in list_stingers():
        beats = [stinger_notes(figure, beat, key, (9, 1), 1.0, [True] * 5, "1") for beat in range(figure.beats)]
        assert sum(map(len, beats)) == len(figure.notes)
        rhythms.add(tuple(tuple(notes["tick"].tolist()) for notes in beats))
    assert len(rhythms) == len(list_stingers()) == 14


@pytest.mark.parametrize("style", ("ambient", "lofi", "house", "orchestral"))
def test_every_marked_place_of_a_timeline_is_struck_to_the_frame(composer, style: str) -> None:
    """At once, in the same beat as another, after the last chord: wherever the beats lie."""
    places = [0.0, 0.31, 2.0, 2.19, 2.34, 2.35, 5.123, 8.9, 11.0, 11.77]
    timeline = {"duration": 12, "style": style, "energy": 0.3, "hits": [{"at": at, "strength": 0.4} for at in places]}
    recorder = Recorder()
    opening = parse_opening({"timeline": timeline})
    performance = Performance(ScoreGenerator(composer, recorder, SLOTS), 0, opening, 4)
    stream_up_to(performance, 600)
    sounds = np.concatenate(recorder.sounds[0])
    struck = sounds[sounds["is_struck"] == 1]
    assert sorted(set(struck["frame"].tolist())) == [round(at * SECOND) for at in places]
    end_beat = performance.controller.plan.end_beat
    last = performance.controller.frame_of_beat(end_beat)
    assert all((sounds["frame"] <= last) | (sounds["is_struck"] == 1))
    assert sounds["frame"].min() == 0
