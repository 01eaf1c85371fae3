"""Beats, sections and markers come ahead of their sound; the last word on each names the frame at which it sounds."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES, Block
from engine.performance import Performance, step
from engine.take import Entry, Skip
from moods.control import parse_control
from moods.opening import parse_opening
from streaming.engines.told import effect_message, event_message, playing_message
from streaming.messages import Effect, Told
from tests.streaming.conftest import Running, dial
from tests.streaming.sines import Sines
from tests.streaming.test_live import next_event, read_pcm

Control = dict[str, Any]


class Ticks(Sines):
    """One sample at the frame of every beat, hit and stinger, and nothing else: the sound tells where they are."""

    def _step(self, slot: int) -> Block:
        controller, (frame, _) = self._controllers[slot], self._places[slot]
        block = np.zeros((2, BLOCK_FRAMES), np.float32)
        first, last = controller.beat_at(frame), controller.beat_at(frame + BLOCK_FRAMES - 1)
        beats = [controller.frame_of_beat(beat) for beat in range(first, last + 1)]
        cues = [position.frame for _, position in controller.cues_within(first, last)]
        for channel, places in enumerate((beats, cues)):
            for place in places:
                if frame <= place < frame + BLOCK_FRAMES:
                    block[channel, place - frame] = 1.0
        self._places[slot] = (frame + BLOCK_FRAMES, 0.0)
        return block


class Stage:
    """A performance driven block by block; keeps what it told and what sounded."""

    def __init__(self, opening: Control) -> None:
        self.generator, self.opening = Ticks(1), parse_opening(opening)
        self.told: list[Told] = []
        self.log: list[Entry] = []
        self.blocks: list[np.ndarray] = []
        self.kept = b""
        self.performance = Performance(self.generator, 0, self.opening, 1)

    @property
    def frame(self) -> int:
        return self.performance.next_block * BLOCK_FRAMES

    def _log(self, control: Any) -> None:
        self.log.append(Entry(self.performance.num_controls, self.performance.next_block, control))

    def apply(self, message: Control) -> Effect:
        control = parse_control(message)
        self._log(control)
        ack = self.performance.apply(control)
        self._tell()
        return effect_message(ack, 0.02)

    def skip(self, num_blocks: int) -> None:
        self._log(Skip(num_blocks))
        self.performance.skip(num_blocks)
        self.blocks += [np.zeros((BLOCK_FRAMES, 2), np.float32)] * num_blocks

    def play(self, num_blocks: int) -> None:
        for _ in range(num_blocks):
            self._tell()
            at = self.performance.next_block
            self.blocks[at:] = [step(self.generator, [self.performance])[0].pcm]

    def _tell(self) -> None:
        self.told += map(event_message, self.performance.announcements())

    def keep(self) -> None:
        self.performance.forget()
        self.kept = pickle.dumps(self.performance.snapshot())

    def bring_back(self) -> None:
        """The engine has died; another plays on from what was kept and does again what was done since."""
        reached = self.performance.next_block
        self.generator = Ticks(1)
        self.performance = Performance.restore(self.generator, 0, self.opening, pickle.loads(self.kept))
        self.performance.replay(self.log)
        self.play(reached - self.performance.next_block)

    def sounded(self, channel: int) -> list[int]:
        """The frames at which beats (0), or hits and stingers (1), are in the sound."""
        return np.flatnonzero(np.concatenate(self.blocks)[:, channel]).tolist()

    def last_word(self, kind: str) -> list[int]:
        """The frames of one kind of event; what is told replaces what was told of the same thing, or for later."""
        frames: dict[Any, int] = {}
        for event in self.told:
            if event["type"] == kind:
                frames = {key: frame for key, frame in frames.items() if frame < event["frame"]}
                frames[event["id"] if kind == "marker" else (event["bar"], event["beat"])] = event["frame"]
        return [frame for frame in frames.values() if frame < self.frame]


@pytest.fixture
def stage() -> Stage:
    return Stage({"mood": "epic", "bpm": 150})


PAUSE, PLAY, RESTART = ({"type": "transport", "do": do} for do in ("pause", "play", "restart"))
QUICK = {"type": "steer", "set": {"bpm": 190}, "over": 0, "at": "beat"}
CUT = {"type": "steer", "set": {"mood": "night", "bpm": 120}, "how": "cut", "at": "beat"}
HALF = {"type": "transport", "do": "slow", "rate": 0.5, "over": "1 beat"}
SLOW = {"type": "steer", "set": {"bpm": 70}, "over": "6 beats", "at": "beat"}


def is_paused_for(stage: Stage, num_blocks: int) -> None:
    stage.apply(PAUSE)
    stage.play(num_blocks)
    stage.apply(PLAY)


MOVES: dict[str, Callable[[Stage], object]] = {
    "pause": lambda stage: is_paused_for(stage, 150),
    "shortest pause": lambda stage: is_paused_for(stage, 1),
    "stall": lambda stage: stage.skip(40),
    "quicker": lambda stage: stage.apply(QUICK),
    "slower": lambda stage: stage.apply(SLOW),
    "cut": lambda stage: stage.apply(CUT | {"id": str(stage.frame)}),
    "slow motion": lambda stage: (stage.apply(HALF), stage.play(20), stage.apply(HALF | {"rate": 1})),
    "all at once": lambda stage: (stage.apply(SLOW), stage.skip(26), is_paused_for(stage, 3)),
    "stall in a pause": lambda stage: (stage.apply(PAUSE), stage.play(30), stage.skip(30), stage.apply(PLAY)),
    "brought back": lambda stage: (stage.keep(), is_paused_for(stage, 20), stage.play(3), stage.bring_back()),
    "brought back late": lambda stage: (stage.keep(), stage.play(20), stage.bring_back(), stage.skip(33)),
}
every_move = pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())


@every_move
def test_every_beat_that_sounds_is_the_last_told_with_its_frame(stage: Stage, move: Callable[[Stage], object]) -> None:
    """Wherever in a beat the music is held up or hurried."""
    for num_blocks in (31, 32, 33, 35, 38, 40, 47):
        move(stage)
        stage.play(num_blocks)
    assert stage.last_word("beat") == stage.sounded(0)
    assert len(stage.sounded(0)) > 8


def test_a_restart_takes_back_what_was_told_and_tells_the_beginning(stage: Stage) -> None:
    stage.play(73)
    stage.apply(RESTART)
    stage.play(1)
    begin = stage.frame
    stage.play(73)
    again = [frame for frame in stage.last_word("beat") if frame >= begin]
    assert again == [frame for frame in stage.sounded(0) if frame >= begin]
    assert again[0] == begin


@every_move
def test_hits_and_stingers_are_marked_again_where_they_sound(stage: Stage, move: Callable[[Stage], object]) -> None:
    stage.play(30)
    stage.apply({"type": "hit", "at": {"seconds": 2.345}, "id": "h", "strength": 0.2})
    stage.apply({"type": "stinger", "name": "logo", "at": "bar", "id": "s"})
    while not any(event["type"] == "marker" for event in stage.told):
        stage.play(1)
    for num_blocks in (2, 40, 150):
        move(stage)
        stage.play(num_blocks)
    assert sorted(stage.last_word("marker")) == stage.sounded(1)
    assert stage.sounded(1)


def test_a_section_is_told_with_the_beat_that_begins_it(stage: Stage) -> None:
    random_moves = random.Random(4)
    while sum(event["type"] == "section" for event in stage.told) < 3:
        stage.play(random_moves.randrange(20, 60))
        is_paused_for(stage, random_moves.randrange(1, 20))
    beats = set(stage.last_word("beat"))
    sections = stage.last_word("section")
    assert len(sections) >= 2
    assert set(sections) <= beats


def test_a_section_that_is_asked_for_is_told_where_it_begins(stage: Stage) -> None:
    for to in ("A", "A", "break"):
        stage.play(50)
        ack = stage.apply({"type": "section", "do": "go", "to": to, "at": "beat"})
        stage.play(45)
        assert [event["name"] for event in stage.told if event["type"] == "section"][-1] == to
        assert stage.last_word("section")[-1] == ack["effective_at"]["frame"] == ack["fields"]["section"]["frame"]


def test_nothing_is_told_of_what_comes_after_the_end(stage: Stage) -> None:
    stage.play(35)
    ack = stage.apply({"type": "end", "how": "stop", "at": {"seconds": 1.3}})
    stage.play(100)
    assert playing_message(stage.performance)["state"] == "ended"
    assert stage.last_word("beat") == stage.sounded(0)
    assert max(event["frame"] for event in stage.told) < ack["effective_at"]["frame"] + 48_000


def test_no_beat_is_left_inside_a_silence(server: Running) -> None:
    """Over the wire; and who comes while it is silent is told of none."""
    station = server.open(bpm=240)
    controls = station["links"]["controls"]
    with (
        dial(server.ws(station["links"]["live"])) as live,
        dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio,
    ):
        audio.recv(10)
        for _ in range(3):
            next_event(live, "beat")
        paused = server.http.post(controls, json=PAUSE).json()["effective_at"]["frame"]
        while next_event(live, "status")["state"] != "paused":
            pass
        silent = paused + BLOCK_FRAMES
        assert all(beat["frame"] < silent for beat in server.conductor.stations[station["id"]].beats_ahead())
        read_pcm(audio, 30)
        played = server.http.post(controls, json=PLAY).json()["effective_at"]["frame"]
        beats = [next_event(live, "beat") for _ in range(8)]
    assert beats[0]["frame"] >= played
    steps = {later["frame"] - earlier["frame"] for earlier, later in zip(beats, beats[1:], strict=False)}
    assert steps == {12_000}
