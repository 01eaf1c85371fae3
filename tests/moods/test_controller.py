"""The course of a station: what changes where, and that nothing changes anywhere else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from moods.control import parse_control
from moods.controller import LEAD_FRAMES, Applied, Controller
from moods.errors import BadControl, MoodsError, OutOfRange
from moods.glide import NEVER
from moods.intent import LAYERS, MUTE_DB, STYLES, Intent
from moods.mood import find_mood, list_moods
from moods.opening import parse_opening

SECOND = 48_000
BLOCK = 960


def opened(seed: int = 1, **fields: Any) -> Controller:
    return Controller(parse_opening(fields or {"mood": "focus"}), seed)


def steer(controller: Controller, frame: int, /, *, over: Any = None, at: Any = None, **fields: Any) -> Applied:
    return controller.apply(parse_control({"type": "steer", "set": fields, "over": over, "at": at, "id": "c"}), frame)


def send(controller: Controller, frame: int, **control: Any) -> Applied:
    return controller.apply(parse_control(control), frame)


def first_beat(controller: Controller, applied: Applied) -> int:
    """The first beat that may be composed otherwise."""
    assert applied.changed_since is not None
    beat = controller.beat_at(applied.changed_since)
    assert controller.frame_of_beat(beat) == applied.changed_since
    return beat


def random_control(rng: random.Random, number: int) -> dict[str, Any]:
    if rng.random() < 0.1:
        at = rng.choice(["now", {"seconds": rng.uniform(5, 150)}])
        return {"type": "duck", "gain_db": rng.choice([-12, 0]), "over": rng.choice([0, 0.5]), "at": at}
    if rng.random() < 0.1:
        return {"type": "cancel", "id": f"c{rng.randrange(number + 1)}"}
    if rng.random() < 0.2:
        at = rng.choice(["now", "beat", "bar", "3 bars", "section", {"seconds": rng.uniform(5, 150)}])
        sound = rng.choice([{"type": "hit", "strength": rng.random()}, {"type": "stinger", "name": "reveal"}])
        return {**sound, "at": at, "id": f"c{number}"}
    if rng.random() < 0.15:
        at = rng.choice(["beat", "bar", "3 beats", "2 bars", "phrase", "section", {"seconds": rng.uniform(5, 150)}])
        if rng.random() < 0.4:
            fields = {"mood": rng.choice(list_moods()).name, "layers": {"bass": rng.choice([0, "mute"])}}
            return {"type": "steer", "set": fields, "how": rng.choice(["cut", "bridge"]), "at": at, "id": f"c{number}"}
        do = rng.choice(["next", "stay", "go", "leave"])
        to = {"to": rng.choice(["A", "B", "break", "intro"])} if do == "go" else {}
        return {"type": "section", "do": do, **to, "at": at, "id": f"c{number}"}
    if rng.random() < 0.05:
        rate = rng.choice([0.25, 0.6, 1])
        return {"type": "transport", "do": "slow", "rate": rate, "over": rng.choice([None, 0.5, "1 bar"])}
    if rng.random() < 0.04:
        ending, then = rng.choice(["cadence", "fade", "stop"]), rng.choice(["silence", "go on", "go on"])
        seconds, ring_s = rng.uniform(1, 60), rng.choice([0, 2])
        told = {"type": "countdown", "seconds": seconds, "ending": ending, "then": then, "id": f"c{number}"}
        return {**told, "ring_s": ring_s}
    if rng.random() < 0.08:
        how = rng.choice(["cadence", "ring", "fade", "stop", "loop"])
        at = rng.choice(["phrase", "bar", "beat", {"seconds": rng.uniform(5, 200)}])
        return {"type": "end", "how": how, "at": at, "id": f"c{number}"}
    choices = {
        "mood": rng.choice(list_moods()).name,
        "valence": rng.uniform(-1, 1),
        "energy": rng.random(),
        "tension": rng.random(),
        "style": rng.choice(["lofi", "house", {"jazz": 1, "ambient": 2}]),
        "bpm": rng.choice([None, 70, 128, 240]),
        "key": rng.choice([None, "A minor", "Eb lydian"]),
        "density": rng.choice([None, 0.9]),
        "brightness": rng.choice([None, 0.1]),
        "layers": rng.choice([{"drums": "mute"}, {"drums": 0, "lead": -6}, {"bass": "mute"}]),
        "temperature": 1.3,
    }
    fields = {name: choices[name] for name in rng.sample(sorted(choices), rng.randint(1, 3))}
    over = rng.choice([None, 0, 1.5, "2 bars", "3 beats"])
    at = rng.choice([None, "now", "beat", "bar", "phrase", "section", "6 bars", {"seconds": rng.uniform(5, 150)}])
    return {"type": "steer", "set": fields, "over": over, "at": at, "id": f"c{number}"}


def random_story(seed: int, length: int = 25) -> Iterator[tuple[dict[str, Any], int]]:
    rng, frame = random.Random(seed), 0
    for number in range(length):
        frame += BLOCK * rng.randint(0, 300)
        yield random_control(rng, number), frame


def reads(controller: Controller, frames: range, beats: range) -> tuple[list[Intent], list[Intent]]:
    return [controller.intent(frame) for frame in frames], [controller.beat_intent(beat) for beat in beats]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_before_the_effective_place_changes(seed: int) -> None:
    controller = opened(seed)
    for obj, frame in random_story(seed):
        frames = range(max(0, frame - 5 * SECOND), frame + 30 * SECOND, 7 * BLOCK)
        beats = range(controller.beat_at(frame) + 60)
        before, notes_before = reads(controller, frames, beats)
        try:
            applied = controller.apply(parse_control(obj), frame)
        except MoodsError:
            assert reads(controller, frames, beats) == (before, notes_before)
            continue
        after, notes_after = reads(controller, frames, beats)
        assert applied.effective.frame >= frame
        first_frame = min([applied.effective.frame, *(reach.begin.frame for reach in applied.fields.values())])
        changed = NEVER if applied.changed_since is None else first_beat(controller, applied)
        first_frame = min(first_frame, applied.changed_since or NEVER)
        for place, old, new in zip(frames, before, after, strict=True):
            assert old == new or place >= first_frame, (obj, place, applied)
        for beat, old, new in zip(beats, notes_before, notes_after, strict=True):
            assert old == new or beat >= changed, (obj, beat, applied)
        assert applied.changed_since is None or applied.changed_since >= frame + LEAD_FRAMES


@pytest.mark.parametrize("seed", range(6))
def test_reads_are_pure(seed: int) -> None:
    quiet, watched = opened(seed), opened(seed)
    rng = random.Random(seed)
    for obj, frame in random_story(seed):
        for controller in (quiet, watched):
            try:
                controller.apply(parse_control(obj), frame)
            except MoodsError:
                assert obj["type"] in ("cancel", "countdown", "end", "hit", "stinger") or "seconds" in (obj["at"] or "")
        for _ in range(10):
            watched.intent(rng.randrange(300 * SECOND))
            watched.beat_intent(rng.randrange(400))
            watched.position(rng.randrange(300 * SECOND))
    span = range(0, 200 * SECOND, 50 * BLOCK), range(300)
    assert reads(quiet, *span) == reads(watched, *span)


PIECE = {"timeline": {"duration": 70, "mood": "sport", "sections": [{"at": 40, "mood": "night", "over": 1.5}]}}


@pytest.mark.parametrize("opening", [{"mood": "focus"}, PIECE], ids=["endless", "piece"])
@pytest.mark.parametrize("seed", range(4))
def test_a_restored_controller_answers_and_steers_alike(seed: int, opening: dict[str, Any]) -> None:
    original, forgetful, copy = (opened(seed, **opening) for _ in range(3))
    for obj, frame in random_story(seed):
        forgetful.forget_before(frame)
        copy = Controller.restore(json.loads(json.dumps(copy.snapshot())), parse_opening(opening))
        copy.forget_before(frame)
        outcomes = []
        for controller in (original, forgetful, copy):
            try:
                outcomes.append(controller.apply(parse_control(obj), frame))
            except MoodsError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1] == outcomes[2]
        span = (
            range(frame, frame + 20 * SECOND, 11 * BLOCK),
            range(original.beat_at(frame), original.beat_at(frame) + 40),
        )
        assert reads(original, *span) == reads(forgetful, *span) == reads(copy, *span)


def heard(intent: Intent) -> tuple[Any, ...]:
    """What is heard at once, of an intent."""
    colour = (intent.loudness_lufs, intent.brightness, intent.energy, intent.bpm, intent.gain_db, intent.voice_room)
    return *colour, intent.layer_gains_db, intent.style, intent.texts


@pytest.mark.parametrize("seed", range(6))
def test_what_is_heard_holds_as_long_as_is_said(seed: int) -> None:
    """Against brute force, and not by saying that nothing ever holds."""
    controller, rng, num_blocks, num_reads = opened(seed), random.Random(seed), 0, 0
    story = list(random_story(seed, 40))
    for (obj, frame), (_, next_frame) in pairwise(story):
        try:
            controller.apply(parse_control(obj), frame)
        except MoodsError:
            continue
        block = frame
        while block < next_frame:
            now, held_until = heard(controller.intent(block)), controller.holds_until(block)
            assert held_until > block
            between = rng.sample(range(block + 1, held_until), min(5, held_until - block - 1))
            for inside in (*range(block, held_until, BLOCK), held_until - 1, *between):
                assert heard(controller.intent(inside)) == now, (obj, block, inside)
            num_reads += 1
            num_blocks += max(1, (held_until - block) // BLOCK)
            block = max(block + BLOCK, -(-held_until // BLOCK) * BLOCK)
    assert num_reads < 0.5 * num_blocks


def test_what_is_heard_moves_where_it_is_said_to() -> None:
    controller = opened(bpm=120, mood="epic")
    assert controller.holds_until(7) == controller.frame_of_beat(4)
    steer(controller, SECOND, energy=0.1, over=1.0, at="beat")
    assert controller.holds_until(SECOND) == 72_000 == controller.holds_until(72_000 - 1)
    assert controller.holds_until(72_000) == 72_001 and controller.holds_until(119_999) == 120_000
    assert controller.holds_until(120_000) == controller.frame_of_beat(8)
    send(controller, 4 * SECOND, type="end", how="fade")
    assert controller.holds_until(4 * SECOND) == 4 * SECOND + 1
    assert controller.holds_until(controller.end_frame - BLOCK) >= controller.end_frame


def test_the_words_of_a_mood_go_with_it_and_cross_over() -> None:
    assert opened(energy=0.3).intent(0).texts == ()
    controller = opened(prompt="rainy night, a little sad")
    assert controller.intent(0).texts == (("rainy night, a little sad", 1.0),)
    steer(controller, SECOND, energy=0.2)
    applied = steer(controller, 2 * SECOND, mood="热血", over=2.0, at="now")
    assert applied.fields["mood"].begin.frame == 2 * SECOND
    assert controller.intent(2 * SECOND).texts[0] == ("rainy night, a little sad", 1.0)
    assert dict(controller.intent(3 * SECOND).texts) == {"rainy night, a little sad": 0.5, "epic": 0.5}
    copy = Controller.restore(json.loads(json.dumps(controller.snapshot())))
    for frame in (3 * SECOND, 4 * SECOND):
        assert copy.intent(frame) == controller.intent(frame)
    assert controller.intent(4 * SECOND).texts == (("epic", 1.0),)


@pytest.mark.parametrize("lead_frames", [960, 9600])
def test_who_makes_the_sound_tells_when_notes_may_change(lead_frames: int) -> None:
    controller = Controller(parse_opening({"bpm": 120}), 1, lead_frames=lead_frames, block_frames=2 * BLOCK)
    for told in (controller, Controller.restore(controller.snapshot(), lead_frames=lead_frames)):
        for frame in range(0, 5 * SECOND, 7 * BLOCK):
            beat = first_beat(told, steer(told, frame, energy=frame / (5 * SECOND)))
            assert told.frame_of_beat(beat) >= frame + lead_frames > told.frame_of_beat(beat - 1)
    send(controller, 6 * SECOND, type="end", how="stop", at={"seconds": 8})
    gains_db = [controller.intent(8 * SECOND - blocks * BLOCK).gain_db for blocks in (3, 2, 1)]
    assert gains_db == [0, MUTE_DB, MUTE_DB]


@pytest.mark.parametrize(("at", "beats"), [("beat", 1), ("bar", 4), ("phrase", 16)])
def test_acknowledged_frames_fall_on_the_grid(at: str, beats: int) -> None:
    for frame in range(0, 20 * SECOND, 13 * BLOCK):
        controller = opened(bpm=97)
        applied = steer(controller, frame, energy=0.9, style="house", density=0.5, at=at)
        beat = first_beat(controller, applied)
        assert beat % beats == 0
        assert controller.frame_of_beat(beat) == applied.effective.frame >= frame + LEAD_FRAMES
        assert controller.frame_of_beat(max(0, beat - beats)) < frame + LEAD_FRAMES
        assert {reach.begin.frame for reach in applied.fields.values()} == {applied.effective.frame}


def test_a_prompt_of_which_nothing_is_understood_leaves_the_mood_as_it_is() -> None:
    controller = opened(mood="epic")
    before = [controller.intent(frame) for frame in range(0, 30 * SECOND, SECOND)]
    applied = steer(controller, SECOND, prompt="xyzzy 魑魅")
    assert [controller.intent(frame) for frame in range(0, 30 * SECOND, SECOND)] == before
    assert (applied.fields, applied.changed_since) == ({}, None)
    steer(controller, SECOND, prompt="xyzzy", energy=0.2)
    later = controller.intent(30 * SECOND)
    assert (later.energy, later.valence) == (0.2, find_mood("epic").valence)


def test_each_field_has_its_own_default_place() -> None:
    controller, frame = opened(bpm=120), 5 * BLOCK
    fields = {"valence": 0.5, "energy": 0.9, "tension": 0.9, "style": "house", "bpm": 121, "key": "D dorian"}
    fields |= {"density": 0.9, "brightness": 0.9, "temperature": 1.5, "layers": {"drums": -6}}
    applied = steer(controller, frame, **fields)
    at = {name: (reach.begin.bar, reach.begin.beat) for name, reach in applied.fields.items()}
    assert {name for name, reach in applied.fields.items() if reach.begin.frame == frame} == {
        "valence", "energy", "brightness", "layers",
    }  # fmt: skip
    assert at["density"] == (1, 2) and at["tension"] == at["bpm"] == at["temperature"] == (2, 1)
    assert at["style"] == at["key"] == (5, 1)
    assert first_beat(controller, applied) == 1
    assert controller.intent(frame).energy == 0.9 and controller.intent(frame - 1).energy != 0.9
    assert controller.beat_intent(1).energy == 0.9 and controller.beat_intent(1).valence != 0.5
    assert controller.beat_intent(4).valence == 0.5 and controller.beat_intent(16).key.scale == "dorian"


def test_colour_alone_leaves_the_notes() -> None:
    controller = opened()
    assert steer(controller, 960, brightness=0.9).changed_since is None
    assert steer(controller, 960, layers={"drums": -6}).changed_since is None
    assert send(controller, 960, type="duck", gain_db=-9).changed_since is None


def test_glides_are_straight_and_reach_their_target() -> None:
    controller = opened(valence=-1, bpm=120)
    steer(controller, SECOND, valence=1, over=2.0, at="now")
    values = [controller.intent(frame).valence for frame in range(SECOND, 4 * SECOND, BLOCK)]
    steps = [after - before for before, after in pairwise(values)]
    assert all(step >= 0 for step in steps)
    assert steps[:100] == pytest.approx([0.02] * 100) and values[100:] == [1.0] * 50


def test_an_interrupted_glide_goes_on_from_where_it_is() -> None:
    controller = opened(energy=0)
    steer(controller, 0, energy=1, over=2.0, at="now")
    steer(controller, SECOND, energy=0, over=1.0, at="now")
    assert controller.intent(SECOND).energy == pytest.approx(0.5)
    assert controller.intent(SECOND + SECOND // 2).energy == pytest.approx(0.25)
    assert controller.intent(2 * SECOND).energy == 0


def test_a_glide_over_bars_ends_on_the_bar_though_the_tempo_moves() -> None:
    controller = opened(tension=0, bpm=120)
    steer(controller, 0, tension=1, over="2 bars", at="bar")
    steer(controller, 0, bpm=60, at="bar")
    tension = [controller.beat_intent(beat).tension for beat in range(14)]
    assert tension == pytest.approx([0] * 4 + [i / 8 for i in range(9)] + [1])


def test_tempo_glides_and_never_jumps() -> None:
    controller = opened(bpm=80)
    applied = steer(controller, 0, bpm=160)
    assert first_beat(controller, applied) == 4
    bpm = [controller.beat_intent(beat).bpm for beat in range(20)]
    assert bpm[:4] == [80] * 4 and bpm[-1] == pytest.approx(160)
    assert all(1 <= after / before <= 1.1 + 1e-9 for before, after in pairwise(bpm))
    frames = [controller.frame_of_beat(beat) for beat in range(21)]
    assert [b - a for a, b in pairwise(frames)] == [round(60 * SECOND / tempo) for tempo in bpm]


def test_what_was_asked_outlives_a_mood_and_null_gives_it_back() -> None:
    controller = opened(mood="sleep", bpm=100)
    steer(controller, 0, mood="boss")
    assert controller.beat_intent(200).bpm == pytest.approx(100)
    steer(controller, 0, bpm=None)
    assert controller.beat_intent(200).bpm == pytest.approx(find_mood("boss").bpm)
    steer(controller, 0, mood="healing")
    assert controller.beat_intent(400).bpm < 110


def test_a_value_on_a_border_does_not_flap() -> None:
    for seed in range(4):
        controller = opened(seed, style="cinematic", energy=0.42, valence=0.2)
        changes = 0
        for beat in range(4, 600, 4):
            controller.beat_intent(beat)
            frame = controller.frame_of_beat(beat) - 2 * LEAD_FRAMES
            wobble = 0.02 if beat % 8 else -0.02
            steer(controller, frame, energy=0.42 + wobble, valence=0.2 + wobble)
            changes += controller._course.held(beat).playing != controller._course.held(beat - 1).playing
        assert changes <= 1
        assert len({controller.beat_intent(beat).key.scale for beat in range(64, 600)}) == 1
        assert len({controller.beat_intent(beat).bpm for beat in range(64, 600)}) == 1


def test_energy_brings_layers_and_breaks_rest_the_drums() -> None:
    calm, driving = opened(style="house", energy=0.0), opened(style="house", energy=1.0)
    drums = LAYERS.index("drums")
    assert not any(calm.beat_intent(beat).active_layers[drums] for beat in range(400))
    intents = [driving.beat_intent(beat) for beat in range(16, 400)]
    assert all(intent.active_layers[drums] == (intent.section != "break" or intent.cue == "fill") for intent in intents)
    assert any(intent.section == "break" for intent in intents)
    assert all(any(intent.active_layers) for intent in intents)


@pytest.mark.parametrize("style", STYLES)
def test_however_calm_there_is_a_tune(style: str) -> None:
    controller, lead = opened(style=style, energy=0.0), LAYERS.index("lead")
    bars = [controller.beat_intent(bar * 4) for bar in range(100)]
    tuneful = [intent.active_layers[lead] for intent in bars if intent.section in ("A", "B")]
    assert sum(tuneful) > 0.8 * len(tuneful)
    assert any(intent.active_layers[lead] for intent in bars[:3])


@pytest.mark.parametrize("mood", ["sleep", "focus", "suspense", "epic"])
def test_a_short_piece_begins_with_its_theme(mood: str) -> None:
    for seconds in (15, 30, 60):
        piece = Controller(parse_opening({"mood": mood, "key": "A minor"}).as_piece(seconds, "cadence"), 1)
        intent = piece.beat_intent(0)
        assert (intent.section, intent.calls_lead, str(intent.key)) == ("A", True, "A minor")
        assert intent.active_layers[LAYERS.index("lead")] and piece.end_frame == seconds * SECOND


def test_the_form_moves_the_density_that_the_mood_has_and_not_one_that_is_asked_for() -> None:
    own, asked = opened(style="jazz", energy=0.5), opened(style="jazz", energy=0.5, density=0.4)
    beats = [(own.beat_intent(beat), asked.beat_intent(beat)) for beat in range(0, 800, 4)]
    by_form = sorted((one.intensity, one.density) for one, _ in beats)
    assert by_form == sorted(by_form, key=lambda row: row[1]) and by_form[-1][1] > 1.5 * by_form[0][1]
    assert {other.density for _, other in beats} == {0.4}


def test_a_fill_leads_out_of_a_break() -> None:
    controller, drums = opened(style="house", energy=1.0), LAYERS.index("drums")
    intents = [controller.beat_intent(beat) for beat in range(800)]
    assert any(intent.section == "break" and intent.cue == "fill" for intent in intents)
    assert all(intent.active_layers[drums] for intent in intents if intent.cue == "fill")


def test_an_ending_that_is_asked_for_is_made_of_the_theme() -> None:
    controller = opened(bpm=120, style="lofi")
    send(controller, 80 * SECOND, type="end", how="cadence", at={"seconds": 100})
    bars = [controller.beat_intent(bar * 4) for bar in range(60)]
    outro = [bar for bar, intent in enumerate(bars) if intent.section == "outro" and (intent.beats_to_end or 0) > 0]
    assert len(outro) == 4 and all(bars[bar].active_layers[LAYERS.index("lead")] for bar in outro)
    sources = [bar - bars[bar].recall[-1][0] for bar in outro]
    assert sources == list(range(sources[0], sources[0] + len(outro))) and bars[sources[0]].section == "A"
    assert bars[sources[0]].bar_in_section == 0


def test_a_muted_layer_fades_and_then_rests() -> None:
    controller = opened(style="house", energy=1.0, bpm=120)
    bass = LAYERS.index("bass")
    applied = steer(controller, SECOND, layers={"bass": "mute"}, over=1.0)
    gains = [controller.intent(frame).layer_gains_db[bass] for frame in range(SECOND, 3 * SECOND, BLOCK)]
    assert gains[0] == 0 and gains[50:] == [MUTE_DB] * 50
    assert all(after <= before for before, after in pairwise(gains))
    assert first_beat(controller, applied) == 4
    assert controller.beat_intent(3).active_layers[bass] and not controller.beat_intent(4).active_layers[bass]
    assert first_beat(controller, steer(controller, 3 * SECOND, layers={"bass": 0})) == 7
    assert controller.beat_intent(7).active_layers[bass]


def test_glides_lead_to_the_mood_and_to_what_was_asked_beside_it() -> None:
    controller = opened()
    steer(controller, 0, mood="party", tension=0.9, over="8 bars")
    party, later = find_mood("party"), controller.intent(60 * SECOND)
    assert (later.valence, later.energy, later.tension) == (party.valence, party.energy, 0.9)
    assert later.style == party.style


def test_ducking_comes_and_goes() -> None:
    controller = opened()
    send(controller, SECOND, type="duck", gain_db=-10, over=0.2)
    assert [round(controller.intent(SECOND + i * 4800).gain_db, 6) for i in range(4)] == [0, -5, -10, -10]
    send(controller, 2 * SECOND, type="duck", gain_db=0, over=0)
    assert controller.intent(2 * SECOND).gain_db == 0


def test_the_volume_stays_while_ducking_comes_and_goes_beside_it() -> None:
    controller = opened()
    assert send(controller, SECOND, type="volume", gain_db=-12, over=0.2).changed_since is None
    assert [round(controller.intent(SECOND + i * 4800).gain_db, 6) for i in range(4)] == [0, -6, -12, -12]
    send(controller, 2 * SECOND, type="duck", gain_db=-9, over=0)
    assert controller.intent(2 * SECOND).gain_db == -21
    send(controller, 3 * SECOND, type="duck", gain_db=0, over=0)
    assert controller.intent(60 * SECOND).gain_db == controller.volume_db == -12
    assert Controller.restore(controller.snapshot()).volume_db == -12


def test_steps_of_volume_add_up_and_end_where_the_fader_does() -> None:
    controller = opened()
    for frame, by_db in ((100, -3), (100, -3), (SECOND, 4)):
        send(controller, frame, type="volume", by_db=by_db, over=2)  # before the step before has arrived
    assert controller.volume_db == -2 and controller.intent(9 * SECOND).gain_db == -2
    for by_db in (24, -1, -24, -24, -24):
        send(controller, 10 * SECOND, type="volume", by_db=by_db)
    assert controller.volume_db == -60


def test_room_for_a_voice_comes_and_goes_by_itself() -> None:
    controller = opened()
    send(controller, SECOND, type="duck", gain_db=-6, over=0)
    assert send(controller, 2 * SECOND, type="duck", voice=True).changed_since is None
    assert [round(controller.intent(2 * SECOND + i * 4800).voice_room, 6) for i in range(4)] == [0, 0.5, 1, 1]
    assert controller.intent(3 * SECOND).gain_db == -6
    send(controller, 3 * SECOND, type="duck", voice=False, over=0)
    assert controller.intent(3 * SECOND).voice_room == 0
    assert Controller.restore(controller.snapshot()).intent(3 * SECOND) == controller.intent(3 * SECOND)


@pytest.mark.parametrize("frame", [0, 3 * SECOND + 7, 20 * SECOND])
def test_an_ending_counts_down_to_a_bar(frame: int) -> None:
    controller = opened(bpm=100)
    applied = send(controller, frame, type="end", how="cadence", at="phrase")
    assert controller.end_frame is not None
    last = first_beat(controller, applied)
    while controller.beat_intent(last).beats_to_end != 0:
        assert controller.beat_intent(last).section == "outro"
        assert controller.beat_intent(last + 1).beats_to_end == controller.beat_intent(last).beats_to_end - 1
        last += 1
    assert last % 16 == 0 and any(controller.beat_intent(last).active_layers)
    assert not any(controller.beat_intent(last + 1).active_layers)
    assert controller.frame_of_beat(last) < controller.end_frame
    assert controller.intent(controller.end_frame).gain_db == MUTE_DB
    assert controller.intent(controller.frame_of_beat(last)).gain_db == 0


@pytest.mark.parametrize("how", ["cadence", "ring", "fade", "stop", "loop"])
@pytest.mark.parametrize("seconds", [10.3, 12.0, 31.0, 63.75])
def test_an_ending_in_seconds_is_over_exactly_there(how: str, seconds: float) -> None:
    controller = opened(bpm=93)
    send(controller, 10 * SECOND, type="end", how=how, at={"seconds": seconds})
    assert controller.end_frame == round(seconds * SECOND)
    assert controller.intent(controller.end_frame).gain_db == MUTE_DB
    if seconds > 13 and how in ("cadence", "ring"):
        last = next(beat for beat in range(400) if controller.beat_intent(beat).beats_to_end == 0)
        ring = controller.end_frame - controller.frame_of_beat(last)
        assert last % 4 == 0 and 1.5 * SECOND <= ring < 1.5 * SECOND + 4 * 60 / 93 * SECOND + 1


def test_a_later_tempo_change_moves_the_last_chord_not_the_end() -> None:
    controller = opened(bpm=100)
    send(controller, 0, type="end", how="cadence", at={"seconds": 60})
    steer(controller, SECOND, bpm=150)
    last = next(beat for beat in range(400) if controller.beat_intent(beat).beats_to_end == 0)
    assert controller.end_frame == 60 * SECOND
    assert 1.5 * SECOND <= controller.end_frame - controller.frame_of_beat(last) < 3.2 * SECOND


def test_endings_that_cannot_be_are_refused() -> None:
    controller = opened()
    with pytest.raises(OutOfRange, match=r"at\.seconds"):
        send(controller, 10 * SECOND, type="end", at={"seconds": 9})
    send(controller, 10 * SECOND, type="end", how="fade")
    with pytest.raises(BadControl, match="has begun"):
        send(controller, 11 * SECOND, type="end", how="cadence")


def test_an_outro_can_be_cut_short_but_not_made_anew() -> None:
    controller = opened(bpm=100)
    send(controller, 0, type="end", how="cadence", at={"seconds": 20})
    with pytest.raises(BadControl, match="cut short with fade or stop"):
        send(controller, 15 * SECOND, type="end", how="cadence", at="phrase")
    send(controller, 15 * SECOND, type="end", how="stop")
    assert controller.end_frame == 15 * SECOND + 2 * BLOCK
    assert controller.intent(15 * SECOND).section == "outro"


@pytest.mark.parametrize("how", ["cadence", "ring", "fade", "stop"])
def test_a_gain_read_at_the_last_block_brings_an_ending_to_silence(how: str) -> None:
    """A gain is read where a block begins and reached where it ends, so it must be silent a block before the end."""
    controller = opened(bpm=100)
    send(controller, 10 * BLOCK, type="end", how=how, at={"seconds": 20})
    gains_db = [controller.intent(20 * SECOND - blocks * BLOCK).gain_db for blocks in (400, 2, 1)]
    assert gains_db[0] == 0 and MUTE_DB < gains_db[1] < 0 and gains_db[2] == MUTE_DB


def test_a_cancelled_control_has_never_been() -> None:
    controller, untouched = opened(), opened()
    steer(controller, 0, style="house", bpm=150, key="D major", at="phrase")
    applied = send(controller, SECOND, type="cancel", id="c")
    assert first_beat(controller, applied) == 12  # the pivot into the key
    assert reads(controller, range(0, 60 * SECOND, SECOND), range(100)) == reads(
        untouched, range(0, 60 * SECOND, SECOND), range(100)
    )
    with pytest.raises(BadControl, match="still waiting"):
        send(controller, SECOND, type="cancel", id="c")


def cues(controller: Controller, beats: range) -> list[str]:
    return [controller.beat_intent(beat).cue for beat in beats]


@pytest.mark.parametrize(("beat", "cut"), [(8, 2), (9, 2), (10, 1), (11, 0)])
def test_a_hit_has_a_pickup_and_a_cut_up_to_the_bar_line(beat: int, cut: int) -> None:
    controller = opened(bpm=120, energy=0)
    applied = send(controller, 0, type="hit", at={"seconds": beat / 2 + 0.3}, id="h")
    assert applied.effective.frame == round((beat / 2 + 0.3) * SECOND)
    assert applied.effective.fraction == pytest.approx(0.6)
    assert applied.changed_since == applied.fields["pickup"].begin.frame == controller.frame_of_beat(beat - 1)
    expected = ["fill", "hit", *["cut"] * cut, "none"]
    assert cues(controller, range(beat - 1, beat + cut + 2)) == expected
    assert controller.beat_intent(beat).hit_offset == pytest.approx(0.6)
    assert first_beat(controller, send(controller, SECOND, type="cancel", id="h")) == beat - 1
    assert "hit" not in cues(controller, range(30))


def test_a_hit_at_a_beat_lands_on_the_first_open_one_without_pickup() -> None:
    controller = opened(bpm=120)
    applied = send(controller, SECOND, type="hit", at="beat", strength=0.2)
    assert (applied.effective.frame, applied.changed_since, set(applied.fields)) == (72_000, 72_000, {"hit"})
    assert cues(controller, range(2, 5)) == ["none", "hit", "none"]
    assert (send(controller, SECOND, type="hit", at="bar").effective.beat) == 1


@pytest.mark.parametrize("bpm", [40, 97, 240])
@pytest.mark.parametrize("control", [{"type": "hit"}, {"type": "stinger", "name": "alert"}])
def test_now_is_within_the_lead_whatever_the_tempo(bpm: int, control: dict[str, Any]) -> None:
    """At the frame being rendered, or at a beat that begins so soon that an accent before it would sound too early."""
    controller = opened(bpm=bpm)
    for frame in range(0, 8 * SECOND, 11 * BLOCK):
        applied = send(controller, frame, **control, at="now")
        at = applied.effective
        assert frame <= at.frame < frame + LEAD_FRAMES and set(applied.fields) == {control["type"]}
        assert at.frame == frame or at.frame == controller.frame_of_beat(controller.beat_at(at.frame))
        assert first_beat(controller, applied) == controller.beat_at(at.frame) + 1
        assert applied.changed_since >= at.frame + LEAD_FRAMES


def test_a_hit_now_is_laid_over_its_beat_and_cuts_the_next() -> None:
    controller = opened(bpm=120)
    untouched = [controller.beat_intent(beat) for beat in range(20)]
    applied = send(controller, SECOND + BLOCK, type="hit", at="now", strength=1, id="h")
    assert (applied.effective.frame, applied.effective.bar, applied.effective.beat) == (SECOND + BLOCK, 1, 3)
    assert cues(controller, range(1, 5)) == ["none", "none", "cut", "none"]
    assert controller.beat_intent(3).hit_strength == 0
    send(controller, SECOND + BLOCK, type="hit", at="now", strength=0.3)  # at the same frame: in its place
    assert [controller.beat_intent(beat) for beat in range(20)] == untouched
    assert [cue.strength for cue in controller.cues_over(2 * SECOND)] == [0.3]
    send(controller, SECOND + 2 * BLOCK, type="hit", at="now", strength=0.8)  # later: another one
    assert [cue.strength for cue in controller.cues_over(2 * SECOND)] == [0.3, 0.8]
    assert controller.cues_over(SECOND + BLOCK) == []


def test_what_was_asked_for_now_is_taken_back_only_before_it_sounds() -> None:
    controller, frame = opened(bpm=120), round(1.46 * SECOND)
    before = [controller.beat_intent(beat) for beat in range(12)]
    for kind in ({"type": "hit"}, {"type": "stinger", "name": "logo"}):
        applied = send(controller, frame, **kind, at="now", id="n")
        assert applied.effective.frame == 72_000  # a beat that begins so soon
        taken = send(controller, 72_000, type="cancel", id="n")
        assert (taken.effective.frame, first_beat(controller, taken)) == (72_000, 4)
        assert [controller.beat_intent(beat) for beat in range(12)] == before
        send(controller, frame, **kind, at="now", id="n")
        with pytest.raises(BadControl, match="still waiting"):
            send(controller, 72_001, type="cancel", id="n")
        controller = opened(bpm=120)


def test_now_is_refused_only_when_nothing_more_is_struck() -> None:
    controller = opened(bpm=100)
    last = first_beat(controller, send(controller, 0, type="end", how="ring", at={"seconds": 20}))
    start = controller.frame_of_beat(last)
    for kind in ({"type": "hit"}, {"type": "stinger", "name": "fail"}):
        assert send(controller, start - BLOCK, **kind, at="now").effective.frame == start
        assert send(controller, start + BLOCK, **kind, at="now").effective.frame == start + BLOCK
        assert {intent.stinger for intent in map(controller.beat_intent, range(last + 1, last + 9))} == {None}
        with pytest.raises(BadControl, match="the music ends at 20.00 s"):
            send(controller, controller.frame_of_beat(last + 1), **kind, at="now")


def test_a_hit_and_a_stinger_now_sound_together_in_either_order() -> None:
    hit, stinger = {"type": "hit", "at": "now"}, {"type": "stinger", "name": "logo", "at": "now"}
    for both in ((hit, stinger), (stinger, hit)):
        controller = opened(bpm=120)
        for control in both:
            send(controller, 4 * SECOND + BLOCK, **control)
        intents = [controller.beat_intent(beat) for beat in range(9, 14)]
        assert [intent.cue for intent in intents] == ["cut", "cut", "none", "none", "none"]
        assert [intent.stinger is None for intent in intents] == [False] * 4 + [True]


def test_of_stingers_and_hits_over_each_other_the_later_decides() -> None:
    lead = LAYERS.index("lead")
    controller = opened(style="upbeat", energy=1.0, bpm=120)
    send(controller, 8 * SECOND, type="stinger", name="fail", at="now")
    send(controller, 9 * SECOND + 4800, type="stinger", name="logo", at="now")
    intents = [controller.beat_intent(beat) for beat in range(16, 24)]
    assert [intent.stinger and intent.stinger[0] for intent in intents] == [
        None, "fail", "fail", "logo", "logo", "logo", "logo", None,
    ]  # fmt: skip
    assert [intent.stinger_over for intent in intents] == [None, 0, 0, 1, 1, 1, 1, None]
    assert intents[3].stinger == ("logo", pytest.approx(0.8))
    assert not any(intent.active_layers[lead] for intent in intents[1:7]) and intents[7].active_layers[lead]
    send(controller, 9 * SECOND + 9600, type="hit", at="now")  # cuts the beat 19; 20 is another bar
    assert [controller.beat_intent(beat).stinger is None for beat in range(18, 21)] == [False, True, False]
    send(controller, 9 * SECOND + 14_400, type="stinger", name="comic", at="now")  # heard while the hit rings
    rings = controller.beat_intent(19)
    assert (rings.cue, rings.stinger, rings.stinger_over) == ("cut", ("comic", pytest.approx(0.4)), 3)


def test_a_hit_that_has_begun_stays() -> None:
    controller = opened(bpm=120)
    send(controller, 0, type="hit", at={"seconds": 4}, id="h")
    with pytest.raises(BadControl, match="still waiting"):
        send(controller, round(3.45 * SECOND), type="cancel", id="h")
    with pytest.raises(OutOfRange, match=r"at\.seconds is 4.* allowed is 4\.5 …"):
        send(controller, round(3.95 * SECOND), type="hit", at={"seconds": 4})


def test_seconds_stay_seconds_when_the_tempo_changes() -> None:
    controller = opened(bpm=100)
    send(controller, 0, type="hit", at={"seconds": 20.0})
    steer(controller, SECOND, bpm=160)
    hit = next(beat for beat in range(200) if controller.beat_intent(beat).cue == "hit")
    start, end = controller.frame_of_beat(hit), controller.frame_of_beat(hit + 1)
    assert start + controller.beat_intent(hit).hit_offset * (end - start) == pytest.approx(20 * SECOND)
    assert cues(controller, range(hit - 1, hit + 1)) == ["fill", "hit"]


def test_nothing_is_struck_after_the_end() -> None:
    controller = opened(bpm=100)
    send(controller, 0, type="hit", at={"seconds": 25})
    last = first_beat(controller, send(controller, 0, type="end", how="ring", at={"seconds": 20}))
    assert "hit" not in cues(controller, range(last + 1, last + 40))
    with pytest.raises(BadControl, match="the music ends at 20.00 s"):
        send(controller, 0, type="hit", at={"seconds": 21})


def test_a_stinger_takes_the_place_of_the_lead() -> None:
    controller, lead = opened(style="upbeat", energy=1.0, bpm=120), LAYERS.index("lead")
    applied = send(controller, 0, type="stinger", name="揭晓", at={"seconds": 16.25})
    assert first_beat(controller, applied) == 32
    assert [controller.beat_intent(beat).stinger for beat in range(31, 37)] == [
        None, ("reveal", -0.5), ("reveal", 0.5), ("reveal", 1.5), ("reveal", 2.5), None,
    ]  # fmt: skip
    assert not any(controller.beat_intent(beat).active_layers[lead] for beat in range(32, 36))
    assert controller.beat_intent(36).active_layers[lead]


def test_a_new_key_is_known_a_bar_ahead_or_comes_without_pivot() -> None:
    controller = opened(bpm=120, key="C major")
    applied = steer(controller, 0, key="A major")
    assert first_beat(controller, applied) == 12 and applied.fields["key"].begin.frame == controller.frame_of_beat(16)
    ahead = [controller.beat_intent(beat).key_ahead for beat in range(10, 18)]
    assert [str(key) for key in ahead] == ["None"] * 2 + ["A major"] * 4 + ["None"] * 2
    assert [controller.beat_intent(beat).beats_to_key for beat in range(12, 16)] == [4, 3, 2, 1]
    late = opened(bpm=120, key="C major")
    assert first_beat(late, steer(late, 6 * SECOND + 960, key="A major")) == 16
    assert late.beat_intent(15).key_ahead is None and str(late.beat_intent(16).key) == "A major"


def test_a_key_taken_back_under_way_leaves_what_was_composed() -> None:
    controller = opened(bpm=120, key="C major")
    steer(controller, 0, key="A major")
    before = [controller.beat_intent(beat) for beat in range(16)]
    applied = send(controller, round(6.6 * SECOND), type="cancel", id="c")
    assert first_beat(controller, applied) == 14
    assert [controller.beat_intent(beat) for beat in range(14)] == before[:14]
    assert all(controller.beat_intent(beat).key_ahead is None for beat in range(14, 32))


def test_fills_lead_into_most_sections() -> None:
    num_changes = num_fills = 0
    for seed in range(12):
        controller = opened(seed, style="house", energy=0.5)
        for bar in range(1, 100):
            intents = [controller.beat_intent(4 * bar - back) for back in (2, 1)]
            is_change = controller.beat_intent(4 * bar).bar_in_section == 0
            assert intents[0].cue == "none" and (is_change or intents[1].cue == "none")
            if is_change and intents[1].active_layers[LAYERS.index("drums")]:
                num_changes += 1
                num_fills += intents[1].cue == "fill"
    assert 0.5 < num_fills / num_changes < 0.7


def test_memory_is_flat_over_a_day() -> None:
    controller, rng, sizes = opened(), random.Random(5), []
    for minute in range(24 * 60):
        frame = minute * 60 * SECOND
        steer(controller, frame, valence=rng.uniform(-1, 1), energy=rng.random(), over=rng.choice([0, 8.0]))
        controller.intent(frame + 10 * SECOND)
        controller.forget_before(frame)
        if minute % 60 == 59:
            course = controller._course
            ramps = sum(len(track.ramps) for track in course.tracks.values())
            sizes.append((ramps, len(course._held), len(course.clock._frames)))
    assert max(ramps for ramps, _, _ in sizes) <= 12
    assert max(held for _, held, _ in sizes) < 300 and max(frames for _, _, frames in sizes) < 300
