"""What sounds: the stream as it comes, a bed of its last bars where it does not come, and the clock of both.

In: samples with their frames, and what is told of the music ahead, from the network's thread; out: samples for a sink,
from its thread, and what has been heard. Remembers what waits to be played and the last 16 s that were. Nobody waits
for anything but a short lock.

Two counts: a *frame* is the station's; an *index* counts what the sink was given. While the stream is missing frames go
on with the bed, so that a stream that comes back in time comes back where it would have been.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from undersong_client.bed import BEATS_PER_BAR, CHANNELS, FADE_FRAMES, RATE, RISING, Bed, Passed, Samples

Message = dict[str, Any]

PAST_FRAMES = 16 * RATE
_MAX_BUFFER_FRAMES = 10 * RATE
"""A sink that stands still for longer finds the music of then, and not what it has missed."""
_MAX_PATIENCE_FRAMES = 2 * RATE
"""So long a stream that is back waits to be told its beats, before it sounds without."""
_MAX_TARGET_S = 0.5
_CALM_S = 30.0
"""After so long without a gap the buffer grows smaller again."""
_TRIM = 0.003
"""How much faster or slower it plays to bring the buffer to its target: five cents, which nobody hears."""
_TRIM_BEYOND_FRAMES = RATE * 50 // 1000
_MAX_BEHIND_FRAMES = RATE // 2
"""So far behind, after a sink that stood still, it does not run after the music: it comes in anew, on a beat."""
_LATE_FRAMES = 2 * RATE
_SAME_BEAT_FRAMES = RATE
"""Told anew so soon, the beat heard last is still that beat: the server's engine was late."""
"""What was told later than this after its sound is no news."""
_MAX_TOLD = 512


class Stretch:
    """Frames without a gap, as they arrive: appended at the end, taken from the beginning."""

    def __init__(self, frame: int) -> None:
        self.frame = self.end = frame
        self._chunks: deque[Samples] = deque()

    def __len__(self) -> int:
        return self.end - self.frame

    def append(self, pcm: Samples) -> None:
        self._chunks.append(pcm)
        self.end += len(pcm)

    def take(self, num_frames: int) -> Samples:
        assert 0 < num_frames <= len(self), (num_frames, len(self))
        self.frame += num_frames
        taken = []
        while num_frames > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > num_frames:
                self._chunks.appendleft(chunk[num_frames:])
                chunk = chunk[:num_frames]
            taken.append(chunk)
            num_frames -= len(chunk)
        return np.concatenate(taken)


class Player:
    """Reads as a sink asks, whatever the network does."""

    def __init__(self, buffer_s: float = 0.08) -> None:
        """`buffer_s`: how much is kept ready against an uneven network; it grows where that was too little."""
        self.gain = 1.0
        """Of all that is read; a change takes one read."""
        self.num_bridges = 0
        """How often the stream was missing after it had begun."""
        self.bridged_frames = 0
        """How much the bed has played."""
        self._least_target = self._target = max(RATE // 100, round(buffer_s * RATE))
        self._lock = threading.RLock()
        self._arriving: deque[Stretch] = deque()
        self._frame = self._index = 0
        self._bed: Bed | None = Bed(self._recent, 0, 0, ())
        self._has_begun = False
        self._sound_at = 0
        """An index: since then there has been sound without a hole, which a bed may repeat."""
        self._return: tuple[int, int] | None = None
        """Where the bed ends and what follows: an index, a frame."""
        self._tail = np.zeros((0, CHANNELS), np.float32)
        """What is left of a sound that fades out."""
        self._past = np.zeros((PAST_FRAMES, CHANNELS), np.float32)
        self._beats: deque[Passed] = deque(maxlen=256)
        self._told: dict[object, Message] = {}
        self._passed: deque[Passed] = deque(maxlen=1024)
        self._anchor: tuple[int, float] | None = None
        """An index and when it is heard."""
        self._last_gain = 1.0
        self._mean_buffer = 0.0
        self._phase, self._step, self._kept = 0.0, 1.0, np.zeros((0, CHANNELS), np.float32)
        self._calm_since = 0

    # --- the network -------------------------------------------------------------------------------------------------

    def write(self, frame: int, pcm: Samples) -> None:
        """Take in the samples from `frame` on."""
        with self._lock:
            newest = self._arriving[-1] if self._arriving else None
            if sum(map(len, self._arriving)) > _MAX_BUFFER_FRAMES:  # however many gaps there are in it
                self._arriving.clear()
                newest = None
            if newest is None or newest.end != frame:
                newest = Stretch(frame)
                self._arriving.append(newest)
                self._return = None
            newest.append(pcm)

    def tell(self, event: Message) -> None:
        """Take in an event of the music ahead; told again, the last word counts."""
        with self._lock:
            late = self._frame - event["frame"]
            if self._bed is None and late > 0:
                if event["type"] != "beat" and late < _LATE_FRAMES:
                    self._passed.append(Passed(self._index - late, event))
                return
            if event["type"] == "beat":
                self._forget_beats_from(event["frame"])
            self._told[_key(event)] = event
            while len(self._told) > _MAX_TOLD:
                del self._told[next(iter(self._told))]

    def take_back(self, frame: int) -> None:
        """The music stands still: what was told for `frame` or later comes later, or never."""
        with self._lock:
            self._told = {key: event for key, event in self._told.items() if event["frame"] < frame}

    def _forget_beats_from(self, frame: int) -> None:
        """A beat takes the place of those that were told for its frame or later."""
        for key, event in list(self._told.items()):
            if event["type"] == "beat" and event["frame"] >= frame:
                del self._told[key]

    # --- the sink ----------------------------------------------------------------------------------------------------

    def read(self, num_frames: int, heard_at_s: float) -> Samples:
        """The next samples, float32 [num_frames, 2]; the first is heard at `heard_at_s` by `time.monotonic()`."""
        with self._lock:
            self._note_time(heard_at_s, num_frames)
            out = self._varied(num_frames)
            if self.gain != self._last_gain:
                out = out * np.linspace(self._last_gain, self.gain, num_frames, dtype=np.float32)[:, None]
                self._last_gain = self.gain
            elif self.gain != 1.0:
                out = out * np.float32(self.gain)
            return out

    def _varied(self, num_frames: int) -> Samples:
        """As they are, or a trifle faster or slower while the buffer is far from its target."""
        self._choose_step(num_frames)
        if self._step == 1.0:
            if len(self._kept):
                self._kept, self._phase = self._kept[:0], 0.0
            return self._next(num_frames)
        places = self._phase + self._step * np.arange(num_frames + 1)
        need = int(places[-1]) + 2 - len(self._kept)
        source = np.concatenate([self._kept, self._next(need)]) if need > 0 else self._kept
        at = places[:-1]
        out = np.stack([np.interp(at, np.arange(len(source)), source[:, channel]) for channel in range(CHANNELS)], 1)
        whole = int(places[-1])
        self._kept, self._phase = source[whole:], places[-1] - whole
        return out.astype(np.float32)

    def _choose_step(self, num_frames: int) -> None:
        if self._bed is not None or not self._arriving:
            return
        depth = len(self._arriving[0]) - FADE_FRAMES
        self._mean_buffer += min(1.0, num_frames / RATE) * (depth - self._mean_buffer)
        beyond = self._mean_buffer - self._target
        if self._step == 1.0 and abs(beyond) > _TRIM_BEYOND_FRAMES:
            self._step = 1 + (_TRIM if beyond > 0 else -_TRIM)
        elif self._step != 1.0 and beyond * (self._step - 1) <= 0:
            self._step = 1.0
        if self._index - self._calm_since > _CALM_S * RATE and self._target > self._least_target:
            self._target = max(self._least_target, round(self._target * 0.8))
            self._calm_since = self._index

    def _next(self, num_frames: int) -> Samples:
        out = np.empty((num_frames, CHANNELS), np.float32)
        filled = 0
        while filled < num_frames:
            filled += self._play(out[filled:]) if self._bed is None else self._bridge(out[filled:], self._bed)
        return out

    def _play(self, out: Samples) -> int:
        """Fill `out` from the stream as far as it reaches; what is needed to fade out with stays there."""
        stretch = self._arriving[0] if self._arriving else None
        num_frames = min(len(out), 0 if stretch is None else len(stretch) - FADE_FRAMES)
        if stretch is None or num_frames <= 0:
            self._go_to_bed(stretch)
            self._target = min(round(self._target * 1.5), max(self._least_target, round(_MAX_TARGET_S * RATE)))
            return 0
        if len(stretch) > self._target + FADE_FRAMES + _MAX_BEHIND_FRAMES:
            self._go_to_bed(stretch)
            return 0
        out[:num_frames] = stretch.take(num_frames)
        end = self._frame + num_frames
        for key, event in list(self._told.items()):
            if event["frame"] < end:
                del self._told[key]
                if (late := self._frame - event["frame"]) <= _LATE_FRAMES and (late <= 0 or event["type"] != "beat"):
                    self._pass(Passed(self._index - late, event))
        self._put_out(out[:num_frames])
        return num_frames

    def _go_to_bed(self, stretch: Stretch | None) -> None:
        num_recent = min(self._index - self._sound_at, PAST_FRAMES)
        self._bed = Bed(self._recent, num_recent, self._index, list(self._beats))
        if stretch is not None:
            self._tail = stretch.take(min(FADE_FRAMES, len(stretch)))
            if not len(stretch):
                self._arriving.popleft()
        else:
            self._tail = self._recent(min(FADE_FRAMES, self._index))[::-1]
        self._return = None
        self.num_bridges += 1
        self._calm_since = self._index

    def _bridge(self, out: Samples, bed: Bed) -> int:
        """Fill `out` from the bed up to the place where the stream comes back."""
        while len(self._arriving) > 1:
            self._arriving.popleft()
        if self._return is None and self._arriving:
            self._return = self._plan_return(self._arriving[-1], bed)
        num_frames = len(out) if self._return is None else min(len(out), self._return[0] - self._index)
        if num_frames > 0:
            out[:num_frames] = bed.read(num_frames)
            for beat in bed.beats(self._index, self._index + num_frames):
                frame = self._frame + beat.index - self._index
                place = {"frame": frame, "seconds": frame / RATE, "position_ms": frame * 1000 // RATE}
                self._pass(Passed(beat.index, beat.message | place))
            if self._has_begun:
                self.bridged_frames += num_frames
            self._put_out(out[:num_frames])
            return num_frames
        assert self._return is not None
        self._come_back(self._return[1], bed)
        return 0

    def _come_back(self, frame: int, bed: Bed) -> None:
        stretch = self._arriving[-1]
        self._return = None
        if len(stretch) - (frame - stretch.frame) <= FADE_FRAMES:
            return  # it has not come as fast as it was expected: plan again
        if frame > stretch.frame:
            stretch.take(frame - stretch.frame)
        self._tail = bed.read(FADE_FRAMES)
        if bed.is_silent:
            self._sound_at = self._index
        self._frame, self._bed, self._has_begun = frame, None, True
        self._mean_buffer = float(self._target)
        self._told = {key: event for key, event in self._told.items() if event["frame"] >= frame - _LATE_FRAMES}

    def _plan_return(self, stretch: Stretch, bed: Bed) -> tuple[int, int] | None:
        """Where to leave the bed and with which frame: beat on beat, with about as much ready as the target asks."""
        ready, least = self._target + FADE_FRAMES, self._least_target // 2 + FADE_FRAMES
        now = self._index
        beats = [event for event in self._told.values() if event["type"] == "beat"]
        ways = []
        for into in bed.beats(now + FADE_FRAMES, now + FADE_FRAMES + _MAX_PATIENCE_FRAMES):
            wait = into.index - FADE_FRAMES - now
            for beat in beats:
                frame = beat["frame"] - FADE_FRAMES
                lead = stretch.end + wait - frame  # it goes on to arrive meanwhile
                if frame >= stretch.frame and lead >= least:
                    is_other = into.message["beat"] != beat["beat"]
                    ways.append((2 * abs(lead - ready) + wait + is_other * RATE // 2, now + wait, frame))
        if ways:
            return min(ways)[1:]
        if len(stretch) < ready + (_MAX_PATIENCE_FRAMES if bed.has_beats else 0):
            return None
        return now, stretch.end - ready

    def _put_out(self, pcm: Samples) -> None:
        """Mix in what fades out, and remember; `pcm` is changed in place."""
        if len(self._tail):
            num_frames = min(len(pcm), len(self._tail))
            rising = RISING[FADE_FRAMES - len(self._tail) :][:num_frames]
            pcm[:num_frames] *= rising
            pcm[:num_frames] += self._tail[:num_frames] * (1 - rising)
            self._tail = self._tail[num_frames:]
        self._past[(self._index + np.arange(len(pcm))) % PAST_FRAMES] = pcm
        self._index += len(pcm)
        self._frame += len(pcm)

    def _recent(self, num_frames: int) -> Samples:
        """What was put out last, the oldest first."""
        assert num_frames <= min(self._index, PAST_FRAMES), num_frames
        return self._past[np.arange(self._index - num_frames, self._index) % PAST_FRAMES]

    # --- what has been heard -----------------------------------------------------------------------------------------

    def _pass(self, passed: Passed) -> None:
        if passed.message["type"] == "beat":
            last = self._beats[-1] if self._beats else None
            if last and passed.index - last.index < _SAME_BEAT_FRAMES and _key(last.message) == _key(passed.message):
                return
            self._beats.append(passed)
            while self._beats and self._beats[0].index < self._index - PAST_FRAMES:
                self._beats.popleft()
        self._passed.append(passed)

    def heard(self, until_s: float) -> list[Message]:
        """The events whose sound is heard until then and that were not asked for yet, each with its `time_s`."""
        with self._lock:
            out = []
            while self._passed and (time_s := self._time_at(self._passed[0].index)) is not None and time_s <= until_s:
                out.append(self._passed.popleft().message | {"time_s": time_s})
            return out

    def ahead(self) -> list[Message]:
        """What is told and yet to be heard, each with its `time_s`, the nearest first."""
        with self._lock:
            waiting = [(passed.index, passed.message) for passed in self._passed]
            if self._bed is None:
                waiting += [(event["frame"] + self._index - self._frame, event) for event in self._told.values()]
            else:
                waiting += [(each.index, each.message) for each in self._bed.beats(self._index, self._index + 2 * RATE)]
        timed = [message | {"time_s": time_s} for at, message in waiting if (time_s := self._time_at(at)) is not None]
        return sorted(timed, key=lambda message: float(message["time_s"]))

    def beat_at(self, time_s: float) -> tuple[Message, float] | None:
        """The beat that sounds then, and how much of it is over (0 … 1); None before the first."""
        with self._lock:
            for passed in reversed(self._beats):
                began_s = self._time_at(passed.index)
                if began_s is not None and began_s <= time_s:
                    return passed.message, min(0.999, (time_s - began_s) * float(passed.message["bpm"]) / 60)
        return None

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _note_time(self, heard_at_s: float, num_frames: int) -> None:
        """Follow the sink's clock; callbacks come unevenly, their sound does not."""
        index = self._index - len(self._kept)
        expected = self._time_at(index)
        if expected is None or abs(heard_at_s - expected) > 0.02:
            self._anchor = (index, heard_at_s)
        else:
            self._anchor = (index, expected + 0.05 * (heard_at_s - expected))

    def _time_at(self, index: int) -> float | None:
        return None if self._anchor is None else self._anchor[1] + (index - self._anchor[0]) / (RATE * self._step)

    def time_of(self, frame: int) -> float | None:
        """When a stream frame is heard, by `time.monotonic()`, as things stand; None before anything sounds."""
        with self._lock:
            return self._time_at(frame + self._index - self._frame) if self._has_begun else None

    def frame_at(self, time_s: float) -> int | None:
        """The stream frame that is heard at a time by `time.monotonic()`."""
        with self._lock:
            if self._anchor is None or not self._has_begun:
                return None
            index = self._anchor[0] + (time_s - self._anchor[1]) * RATE * self._step
            return round(index) + self._frame - self._index

    @property
    def is_bridging(self) -> bool:
        """The bed sounds, for the stream is missing."""
        return self._bed is not None and self._has_begun

    @property
    def has_begun(self) -> bool:
        return self._has_begun

    @property
    def buffered_s(self) -> float:
        """How much of the stream is here and yet to be handed to the sink."""
        with self._lock:
            return sum(len(stretch) for stretch in self._arriving) / RATE


def _key(event: Message) -> object:
    """What makes an event the same when it is told again."""
    kind = event["type"]
    if kind == "beat":
        return kind, BEATS_PER_BAR * event["bar"] + event["beat"]
    if event.get("id") is not None:
        return kind, event["id"]
    return kind, event.get("name"), event.get("frame") if kind == "marker" else None
