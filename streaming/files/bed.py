"""Music as a bed under speech: how far it steps back, and when. In: music, the clip's own sound, spans; out: a curve.

A file knows its future: the way down is over when speech begins. The music is held so far down that what is said lies
12 dB above it all the while, whatever both are doing. Remembers nothing; the calling thread does the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from moods.timeline import TimelineDuck
from streaming.files.filters import filtered
from streaming.files.sound import Samples, Sound, from_av_frame
from streaming.files.speech import Span

BELOW_SPEECH_DB = 12.0
_MARGIN_DB = 0.5
"""Others may place the windows of their meters otherwise."""
_DEEPEST_DB = -60.0
_AUDIBLE_DB = -60.0
"""A voice softer than this is not there: the spans are those of one who is yet to speak."""
_HOP_FRAMES = SAMPLE_RATE // 100
_HOP_S = _HOP_FRAMES / SAMPLE_RATE
_WINDOW_HOPS, _STEADY_HOPS = 20, 75
"""Half of the 400 ms over which levels are measured, and for how long either side of a weak syllable the music stays
as low as it asks."""
_K_WEIGHTING = [  # ITU-R BS.1770-4, tables 1 and 2, at 48 kHz
    ("biquad", "b0=1.53512485958697:b1=-2.69169618940638:b2=1.19839281085285:a1=-1.69065929318241:a2=0.73248077421585"),
    ("biquad", "b0=1:b1=-2:b2=1:a1=-1.99004745483398:a2=0.99007225036621"),
    ("aformat", f"flt:{SAMPLE_RATE}:stereo"),
]

_Levels = npt.NDArray[np.float64]
"""[hops], in dB or as mean squares."""


@dataclass(frozen=True, slots=True, eq=False)
class GainCurve:
    """Gains with straight lines in dB between them; before the first and after the last there is nothing to do."""

    frames: npt.NDArray[np.int64]
    gains_db: _Levels

    def apply(self, sound: Sound) -> Sound:
        """`sound` under the curve, made anew whenever it is gone through; where the gain is 0 dB, as it is."""
        return _Under(sound, self)


_FLAT = GainCurve(np.zeros(1, np.int64), np.zeros(1))


@dataclass(frozen=True, slots=True)
class _Under:
    sound: Sound
    curve: GainCurve

    def __iter__(self) -> Iterator[Samples]:
        position = 0
        for samples in self.sound:
            frames = np.arange(position, position + len(samples))
            position += len(samples)
            gains_db = np.interp(frames, self.curve.frames, self.curve.gains_db, left=0.0, right=0.0)
            yield samples * (10 ** (gains_db / 20)).astype(np.float32)[:, None] if gains_db.any() else samples


@dataclass(frozen=True, slots=True)
class Mixed:
    """Sounds together, as long as the longest, made anew whenever it is gone through."""

    sounds: Sequence[Sound]

    def __iter__(self) -> Iterator[Samples]:
        sources = [iter(sound) for sound in self.sounds]
        waiting = [_NOTHING for _ in sources]
        while True:
            for index, source in enumerate(sources):
                while not len(waiting[index]) and (samples := next(source, None)) is not None:
                    waiting[index] = samples
            playing = [samples for samples in waiting if len(samples)]
            if not playing:
                return
            length = min(map(len, playing))
            yield np.sum([samples[:length] for samples in playing], axis=0, dtype=np.float32)
            waiting = [samples[length:] for samples in waiting]


_NOTHING: Samples = np.zeros((0, CHANNELS), np.float32)


def mixed(*sounds: Sound) -> Sound:
    return Mixed(sounds)


def bed_curve(music: Sound, voice: Sound, speech: Sequence[Span], duck: TimelineDuck) -> GainCurve:
    """The curve that brings `music` under what is said in `voice` within the spans `speech`.

    At least by what `duck` asks; flat where nobody speaks.
    """
    if duck.under == "nothing" or not speech:
        return _FLAT
    needed_db = _needed_db(music, voice, speech)
    length_s = len(needed_db) * _HOP_S
    attack, release = (round(seconds * SAMPLE_RATE) for seconds in (duck.attack, duck.release))
    frames: list[npt.NDArray[np.int64]] = []
    gains_db: list[_Levels] = []
    for start_s, end_s in _passages(speech, duck.attack + duck.release):
        if start_s >= length_s:
            break
        hops = _hops(start_s, min(end_s, length_s))
        held_db = np.maximum(_DEEPEST_DB, _steady(np.minimum(duck.gain_db, needed_db[hops])))
        start, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        middles = np.arange(hops.start, hops.stop) * _HOP_FRAMES + _HOP_FRAMES // 2
        within = (middles > start) & (middles < end)
        frames.append(np.array([start - attack, start, *middles[within], end, end + release]))
        gains_db.append(np.array([0.0, held_db[0], *held_db[within], held_db[-1], 0.0]))
    return GainCurve(np.concatenate(frames), np.concatenate(gains_db)) if frames else _FLAT


def _passages(speech: Sequence[Span], recovery_s: float) -> Iterator[Span]:
    """Spans in order, joined where the music would have no time to come up between them."""
    joined: list[Span] = []
    for start_s, end_s in sorted(speech):
        if joined and start_s - joined[-1][1] < recovery_s:
            first_s, last_s = joined.pop()
            start_s, end_s = first_s, max(last_s, end_s)
        joined.append((start_s, end_s))
    return iter(joined)


def _hops(start_s: float, end_s: float) -> slice:
    first = int(start_s / _HOP_S)
    return slice(first, max(first + 1, int(np.ceil(end_s / _HOP_S))))


def _needed_db(music: Sound, voice: Sound, speech: Sequence[Span]) -> _Levels:
    """The gain of the music, [hops], at which it is far enough below speech; infinite where nobody speaks.

    Both as it is and as an ear weighs it, for there are meters of either kind.
    """
    needed_db = np.zeros(0)
    for chain in ([], _K_WEIGHTING):
        both = [_powers(sound, chain) for sound in (music, voice)]
        num_hops = max(map(len, both))
        of_music, of_voice = (np.pad(powers, (0, num_hops - len(powers))) for powers in both)
        if not len(needed_db):
            needed_db = np.full(num_hops, np.inf)
        for start_s, end_s in _passages(speech, 0.0):  # such as overlap are one: each hop is looked at once
            hops = _hops(start_s, end_s)
            voice_db, music_db = (_windowed_db(powers[hops]) for powers in (of_voice, of_music))
            below_db = voice_db - music_db - BELOW_SPEECH_DB - _MARGIN_DB
            needed_db[hops] = np.minimum(needed_db[hops], np.where(voice_db > _AUDIBLE_DB, below_db, np.inf))
    return needed_db


def _powers(sound: Sound, chain: list[tuple[str, str]]) -> _Levels:
    """Mean square of each hop, [hops], of both channels together."""
    weighted = map(from_av_frame, filtered(sound, chain)) if chain else sound
    rest, powers = _NOTHING, []
    for samples in itertools.chain(weighted, [np.zeros((_HOP_FRAMES - 1, CHANNELS), np.float32)]):
        joined = np.concatenate([rest, samples])
        whole = len(joined) // _HOP_FRAMES * _HOP_FRAMES
        powers.append(np.square(joined[:whole], dtype=np.float64).reshape(-1, _HOP_FRAMES * CHANNELS).mean(axis=1))
        rest = joined[whole:]
    return np.concatenate(powers)


def _windowed_db(powers: _Levels) -> _Levels:
    return 10 * np.log10(np.maximum(_means(powers, _WINDOW_HOPS), 1e-12))


def _steady(gains_db: _Levels) -> _Levels:
    """A curve that moves slowly and is nowhere above `gains_db`: the means of the lowest around each hop."""
    padded_db = np.pad(gains_db, _STEADY_HOPS, constant_values=np.inf)
    lowest_db = np.lib.stride_tricks.sliding_window_view(padded_db, 2 * _STEADY_HOPS + 1).min(axis=1)
    return _means(lowest_db, _STEADY_HOPS)


def _means(values: _Levels, reach: int) -> _Levels:
    """Of what lies up to `reach` before and after each value, as far as there is something."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, stop = np.maximum(0, places - reach), np.minimum(len(values), places + reach + 1)
    return (sums[stop] - sums[first]) / (stop - first)
