"""Does a change of mood ever click?

A thousand random changes of mood, one every two seconds, on many stations through the whole generator. What is
listened to is not the sound, in which every drum is a click, but what linear prediction cannot explain of it: of music
the prediction error is small and smooth, a break in the wave stands out of it alone (Godsill and Rayner, "Digital Audio
Restoration", 1998, ch. 5). Onsets of notes are known and left out, 30 ms of each; the drums rest in half of the
stations, so that the time between their strokes is listened to as well. The ambiences are off: a record's dust is
made of clicks. So is the tremolo of plucked strings, whose strokes are onsets that no note tells of.

The same ears must find clicks put into the same music, single samples of -40 dB, full scale: `found` is the share of
those that were put where the music does not mask them, and `watched` the share of time that it does not.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_toeplitz
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

from benchmarks.harness import record
from benchmarks.mood_walk import MoodWalk
from engine.audio import SAMPLE_RATE
from engine.synth.patching.tables import shipped_tables
from engine.synth.targets import ROOM_AMBIENCES

NUM_CHANGES, CHANGES_PER_STATION, CHANGE_EVERY_S = 1000, 25, 2
ORDER, FRAME = 32, 2048
PUT_LEVEL = 0.01
"""-40 dB."""
CLICK_LEVEL, MASK_LEVEL = 0.8 * PUT_LEVEL, 0.4 * PUT_LEVEL
AROUND_FRAMES, CLICK_FRAMES = 480, 64
"""A click is over after CLICK_FRAMES and exceeds CLICK_LEVEL. It is masked where the prediction error exceeds
MASK_LEVEL within AROUND_FRAMES before or after it: the pulses of a buzzing wave stand together."""
ONSET_FRAMES = (240, 1200)
"""Left out around an onset: before it and after."""
Wave = npt.NDArray[np.float64]


def prediction_error(wave: Wave) -> Wave:
    """What an all-pole model of each 43 ms, order ORDER, does not explain of `wave` [T]."""
    error = np.zeros_like(wave)
    window = np.hanning(2 * FRAME)
    padded = np.concatenate([np.zeros(FRAME), wave, np.zeros(2 * FRAME)])
    for start in range(0, len(wave), FRAME):
        piece = padded[start + FRAME // 2 :][: 2 * FRAME] * window
        spectrum = np.abs(np.fft.rfft(piece, 4 * FRAME)) ** 2
        correlation = np.fft.irfft(spectrum)[: ORDER + 1]
        if correlation[0] < 1e-9:
            continue
        correlation[0] *= 1 + 1e-9
        taps = solve_toeplitz(correlation[:-1], correlation[1:])
        heard = padded[start + FRAME - ORDER : start + 2 * FRAME]
        part = lfilter(np.concatenate([[1.0], -taps]), [1.0], heard)[ORDER:]
        error[start : start + FRAME] = part[: len(wave) - start]
    return np.abs(error)


def find_clicks(wave: Wave, onsets: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Frames of the clicks in `wave` [T], and where a click of PUT_LEVEL could be heard [T]."""
    error = prediction_error(wave)
    # The greatest error of AROUND_FRAMES, CLICK_FRAMES away, after and before each frame.
    width = AROUND_FRAMES - CLICK_FRAMES
    greatest = np.pad(maximum_filter1d(error, width), AROUND_FRAMES)
    away = CLICK_FRAMES + width // 2
    after = greatest[AROUND_FRAMES + away :][: len(error)]
    before = greatest[AROUND_FRAMES - away :][: len(error)]
    watched = np.maximum(before, after) < MASK_LEVEL
    for onset in onsets:
        watched[max(0, onset - ONSET_FRAMES[0]) : onset + ONSET_FRAMES[1]] = False
    frames = np.flatnonzero(watched & (error > CLICK_LEVEL))
    # One click has several frames.
    return frames[np.diff(frames, prepend=-SAMPLE_RATE) > 2 * CLICK_FRAMES], watched


def listen(seed: int) -> tuple[list[tuple[int, int, str]], int, int, float]:
    """One station: its clicks, how many were put in, how many of those were found, the share of time watched."""
    shipped_tables().rooms[:, ROOM_AMBIENCES] = 0.0
    shipped_tables().patches["repick_hz"] = 0.0
    walk = MoodWalk(seed, **({"layers": {"drums": "mute"}} if seed % 2 else {}))
    parts, changes = [walk.play(3)], []
    for _ in range(CHANGES_PER_STATION):
        changes.append((walk.frame, str(walk.change()["set"])))
        parts.append(walk.play(CHANGE_EVERY_S))
    sound = np.concatenate(parts, axis=1).astype(np.float64)
    onsets = np.array(sorted(walk.onsets)) + walk.latency_frames
    clicks: list[tuple[int, int, str]] = []
    put = found = 0
    share = 0.0
    for side in sound:
        frames, watched = find_clicks(side, onsets)
        for frame in frames:
            sent, control = max(change for change in [(0, "none"), *changes] if change[0] <= frame)
            clicks.append((seed, int(frame - sent), control))
        places = walk.rng.choice(np.flatnonzero(watched), 20)
        marked = side.copy()
        marked[places] += PUT_LEVEL * walk.rng.choice([-1.0, 1.0], len(places))
        heard, _ = find_clicks(marked, onsets)
        put += len(places)
        found += sum(np.abs(heard - place).min(initial=SAMPLE_RATE) < 200 for place in places)
        share += watched.mean() / len(sound)
    return clicks, put, found, share


def main(num_changes: int = NUM_CHANGES) -> None:
    with ProcessPoolExecutor() as pool:
        heard = list(pool.map(listen, range(-(-num_changes // CHANGES_PER_STATION))))
    clicks = [click for station in heard for click in station[0]]
    record("clicks", {
        "changes": len(heard) * CHANGES_PER_STATION,
        "clicks": len(clicks),
        "examples": [{"seed": seed, "frames_after": frame, "set": control} for seed, frame, control in clicks[:5]],
        "put": sum(station[1] for station in heard),
        "found": round(sum(station[2] for station in heard) / sum(station[1] for station in heard), 4),
        "watched": round(float(np.mean([station[3] for station in heard])), 3),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
