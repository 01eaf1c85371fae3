"""Is what is said in a clip understood over the music, and is the music back soon after?

Clips of half a minute: a voice of espeak-ng says four lines into a room's noise, at one of several levels and speeds;
under it, music of ours in a mood of its own. Speech is found in the clip as `render --video` finds it, the music is
laid under it, and both are measured again, by RMS and by K-weighting of scipy's, where speech was put:
`share_12_db` is the share of 400 ms windows of speech in which the music lies at least 12 dB below it, by the worse of
both measures; `recovery_s` how long after the end of speech the music is back at its level (less than 0.1 dB below).
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.signal import lfilter

from benchmarks.harness import percentiles, record
from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.render import begin, perform
from engine.take import Take
from engine.training.figures import bootstrap
from moods.opening import parse_opening
from moods.timeline import TimelineDuck
from streaming.files.bed import bed_curve
from streaming.files.speech import find_speech
from tests.clips import speech_track
from tests.signals import Signal, noise

NUM_CLIPS, SECONDS = 48, 30.0
VOICES = ("en", "en+f3", "en+m7", "cmn", "de", "es+f2", "fr", "en+croak")
LEVELS_DB = (-14.0, -20.0, -26.0, -34.0)
NOISE_DB = 35.0
"""How far the room is below the voice."""
MOODS = ("epic", "healing", "tech", "sad", "sport", "focus", "horror", "comedy")
WINDOW, STEP = 19_200, 2400
TARGET_DB = 12.0


def music(mood: str, seed: int) -> Signal:
    generator = open_generator(EngineConfig(max_slots=1))
    take = Take(parse_opening({"mood": mood}), seed, ())
    blocks = perform(begin(generator, take), round(SECONDS * SAMPLE_RATE))
    return np.concatenate([block[0].T for block in blocks])


def weighted(signal: Signal) -> Signal:
    """ITU-R BS.1770-4's K-weighting at 48 kHz."""
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585]
    high_pass = [1, -2, 1], [1, -1.99004745483398, 0.99007225036621]
    return lfilter(*high_pass, lfilter(*shelf, signal, axis=0), axis=0)


def levels_db(signal: Signal) -> Signal:
    """Of every window that begins a step after another."""
    sums = np.concatenate([[0.0], np.cumsum(np.square(signal, dtype=np.float64).mean(axis=1))])
    starts = np.arange(0, len(signal) - WINDOW, STEP)
    return 10 * np.log10((sums[starts + WINDOW] - sums[starts]) / WINDOW + 1e-12)


def clip(number: int) -> tuple[float, float, list[float]]:
    """The share of speech 12 dB above the music, that without stepping back, and the times of recovery."""
    random = np.random.default_rng(number)
    level_db = LEVELS_DB[number % len(LEVELS_DB)]
    starts_s = np.array([1.5, 8.0, 15.0, 22.0]) + random.uniform(0, 1.5, 4)
    voice, said = speech_track(SECONDS, list(starts_s), voice=VOICES[number // 2 % len(VOICES)], level_db=level_db)
    voice += noise(SECONDS, 10 ** ((level_db - NOISE_DB) / 20), seed=number)
    under = music(MOODS[number % len(MOODS)], number)
    curve = bed_curve([under], [voice], find_speech([voice]), TimelineDuck())
    bed = np.concatenate(list(curve.apply([under])))
    window_s = np.arange(0, len(voice) - WINDOW, STEP) / SAMPLE_RATE
    spoken = np.zeros(len(window_s), bool)
    for start_s, end_s in said:
        spoken |= (window_s >= start_s) & (window_s + WINDOW / SAMPLE_RATE <= end_s)
    shares = []
    for heard in (bed, under):
        below_db = [levels_db(measure(voice)) - levels_db(measure(heard)) for measure in (lambda same: same, weighted)]
        shares.append(float((np.minimum(*below_db)[spoken] >= TARGET_DB).mean()))
    gain_db = 20 * np.log10(np.concatenate(list(curve.apply([np.ones_like(under)])))[:, 0])
    back = np.flatnonzero(gain_db > -0.1)
    recoveries_s = [float(back[back > end_s * SAMPLE_RATE][0] / SAMPLE_RATE - end_s) for _, end_s in said]
    return shares[0], shares[1], recoveries_s


def main(num_clips: int = NUM_CLIPS) -> None:
    shares, without, recoveries = zip(*map(clip, range(num_clips)), strict=True)
    found = bootstrap(shares)
    record("speech_bed", {
        "clips": num_clips,
        "share_12_db": round(found.mean, 4),
        "interval": [round(found.low, 4), round(found.high, 4)],
        "worst_clip": round(min(shares), 4),
        "share_without": round(float(np.mean(without)), 4),
        "recovery_s": percentiles([recovery for times in recoveries for recovery in times], 3),
    }, is_kept=num_clips >= NUM_CLIPS)  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
