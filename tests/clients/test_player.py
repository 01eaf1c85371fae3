"""The player of the Python client, without a network: what comes late, not at all, or from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from undersong_client.bed import FADE_FRAMES, RATE
from undersong_client.player import Player

BLOCK = 960
BEAT = RATE // 2
"""120 beats a minute."""


def sound(frames: np.ndarray) -> np.ndarray:
    """A steady tone with a clap on every beat: float32 [T, 2]."""
    tone = 0.2 * np.sin(2 * np.pi * 220 * frames / RATE)
    clap = 0.6 * np.exp(-(frames % BEAT) / 400) * np.sin(2 * np.pi * 1500 * (frames % BEAT) / RATE)
    return np.stack([tone + clap, tone - clap], axis=1).astype(np.float32)


class Line:
    """A stream that arrives block by block while a sink reads as fast; `first` is the frame it begins with."""

    def __init__(self, player: Player, first: int = 0) -> None:
        self.player, self.frame, self.clock = player, first, 0
        self.out: list[np.ndarray] = []
        self.events: list[dict[str, object]] = []

    def run(self, seconds: float, *, arrives: bool = True, told: bool = True) -> np.ndarray:
        began = len(self.out)
        for _ in range(round(seconds * RATE / BLOCK)):
            if arrives:
                self.player.write(self.frame, sound(np.arange(self.frame, self.frame + BLOCK)))
                ahead = -(-(self.frame + RATE) // BEAT)
                if told:
                    self.tell(ahead)
            self.frame += BLOCK
            for _ in range(2):
                self.out.append(self.player.read(BLOCK // 2, self.clock / RATE))
                self.clock += BLOCK // 2
            self.events += self.player.heard(self.clock / RATE)
        return np.concatenate(self.out[began:])

    def tell(self, number: int) -> None:
        for each in (number - 1, number):
            frame = each * BEAT
            place = {"bar": each // 4 + 1, "beat": each % 4 + 1, "bpm": 120.0}
            self.player.tell({"type": "beat", "frame": frame, "seconds": frame / RATE} | place)


def claps(pcm: np.ndarray) -> np.ndarray:
    """The frames at which claps begin."""
    loud = np.abs(pcm[:, 0] - pcm[:, 1]) > 0.3
    starts = np.flatnonzero(loud[1:] & ~loud[:-1])
    return starts[np.diff(starts, prepend=-BEAT) > BEAT // 2]


def longest_silence(pcm: np.ndarray) -> int:
    """Frames."""
    heard = np.flatnonzero(np.abs(pcm).max(axis=1) > 1e-3)
    return int(np.diff(heard, prepend=-1, append=len(pcm)).max()) - 1


def test_what_arrives_in_time_is_played_as_it_is() -> None:
    line = Line(Player(0.08))
    pcm = line.run(3)
    began = int(np.flatnonzero(np.abs(pcm[:, 0]) > 0)[0])
    start = line.player.frame_at(0.0) + began
    wanted = sound(np.arange(start, start + len(pcm) - began))
    assert start < 2 * BLOCK
    np.testing.assert_array_equal(pcm[began + FADE_FRAMES :], wanted[FADE_FRAMES:])


@pytest.mark.parametrize("gap_s", [0.3, 5.0])
def test_a_gap_is_bridged_on_the_beat_without_a_click_and_ends_where_the_music_is(gap_s: float) -> None:
    line = Line(Player(0.08))
    line.run(9)
    pcm = np.concatenate([line.run(1), line.run(gap_s, arrives=False), line.run(4)])
    assert line.player.num_bridges == 1 and not line.player.is_bridging
    assert longest_silence(pcm) < RATE // 50
    assert np.abs(np.diff(claps(pcm)) - BEAT).max() <= 2
    assert np.abs(np.diff(pcm, axis=0)).max() <= 1.05 * np.abs(np.diff(sound(np.arange(RATE)), axis=0)).max()
    end = line.player.frame_at(line.clock / RATE)
    np.testing.assert_allclose(pcm[-RATE:], sound(np.arange(end - RATE, end)), atol=1e-6)
    assert line.player.buffered_s < 0.2, "the way back costs no latency"


def test_a_server_that_begins_elsewhere_comes_back_on_a_beat_of_the_bed() -> None:
    line = Line(Player(0.08))
    pcm = np.concatenate([line.run(10), line.run(3, arrives=False)])
    again = Line(line.player, first=2 * RATE + 7777)
    again.clock = line.clock
    pcm = np.concatenate([pcm[-6 * RATE :], again.run(4)])
    assert not line.player.is_bridging
    assert np.abs(np.diff(claps(pcm)) - BEAT).max() <= 0.003 * BEAT + 2, "a trifle faster, until it is up to date"
    assert again.player.frame_at(again.clock / RATE) < 10 * RATE


def test_beats_go_on_through_the_bed_and_count_on() -> None:
    line = Line(Player(0.08))
    line.run(10), line.run(5, arrives=False), line.run(4)
    beats = [event for event in line.events if event["type"] == "beat"]
    times = np.diff([event["time_s"] for event in beats])
    np.testing.assert_allclose(times, 0.5, atol=1e-3)
    numbers = np.diff([4 * event["bar"] + event["beat"] for event in beats])
    assert (numbers == 1).all()


def test_a_beat_that_is_told_again_after_it_was_heard_counts_once() -> None:
    line = Line(Player(0.08))
    line.run(5.2)
    heard = line.events[-1]
    line.player.tell({**heard, "frame": line.frame + RATE // 8})  # the server's engine was late, and begins it anew
    line.run(0.2, told=False), line.run(3)
    numbers = [4 * event["bar"] + event["beat"] for event in line.events if event["type"] == "beat"]
    assert numbers.count(4 * heard["bar"] + heard["beat"]) == 1


def test_a_frame_is_heard_when_the_clock_says() -> None:
    line = Line(Player(0.08))
    pcm = line.run(4)
    for beat in (3, 5):
        heard_s = line.player.time_of(beat * BEAT)
        clap = claps(pcm)[np.argmin(np.abs(claps(pcm) - heard_s * RATE))]
        assert abs(clap / RATE - heard_s) < 0.003


def test_a_sink_that_stood_still_comes_in_anew_on_a_beat() -> None:
    line = Line(Player(0.08))
    pcm = line.run(10)
    for _ in range(60):  # 1.2 s arrive and nobody reads
        line.player.write(line.frame, sound(np.arange(line.frame, line.frame + BLOCK)))
        line.tell(-(-(line.frame + RATE) // BEAT))
        line.frame += BLOCK
    line.clock += 60 * BLOCK
    pcm = np.concatenate([pcm, line.run(3)])
    assert line.player.buffered_s < 0.35, "half a beat more at most, which it plays off"
    assert np.abs(np.diff(claps(pcm[-6 * RATE :])) - BEAT).max() <= 0.003 * BEAT + 2


def test_without_beats_the_stream_comes_back_all_the_same() -> None:
    line = Line(Player(0.08))
    pcm = np.concatenate([line.run(4, told=False), line.run(1, arrives=False), line.run(3, told=False)])
    assert not line.player.is_bridging
    assert longest_silence(pcm[RATE:]) < RATE // 50


def test_a_bed_repeats_no_silence_of_before_the_music() -> None:
    line = Line(Player(0.08))
    line.run(1.3, arrives=False), line.run(0.6)
    assert longest_silence(np.concatenate([line.run(1, arrives=False), line.run(4)])) < RATE // 50


def test_a_bed_repeats_no_hole_that_there_was_while_there_was_too_little_to_repeat() -> None:
    line = Line(Player(0.08))
    line.run(1.4, arrives=False), line.run(0.2), line.run(0.5, arrives=False), line.run(1.5)
    assert longest_silence(np.concatenate([line.run(0.2), line.run(3, arrives=False), line.run(2)])) < RATE // 50


def test_a_sink_that_is_slower_than_the_server_does_not_fall_behind_for_ever() -> None:
    player = Player(0.08)
    frame = clock = 0
    for turn in range(60 * 50):
        player.write(frame, np.ones((BLOCK, 2), np.float32))
        frame += BLOCK
        num_frames = BLOCK - turn % 2  # 500 ppm
        pcm = player.read(num_frames, clock / RATE)
        clock += num_frames
        assert pcm.shape == (num_frames, 2)
    assert player.num_bridges == 0
    assert player.buffered_s < 0.2


def test_a_sink_that_stands_still_costs_no_more_however_often_the_stream_breaks() -> None:
    player = Player()
    for number in range(3000):
        player.write(2 * number * BLOCK, np.zeros((BLOCK, 2), np.float32))
    assert player.buffered_s < 11
