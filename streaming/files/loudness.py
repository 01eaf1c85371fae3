"""How loud sound is, and how to make it as loud as asked. In: sound; out: figures, or a gain curve.

Remembers nothing; the calling thread does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moods.timeline import LoudnessGoal, Timeline
from streaming.files.filters import filtered
from streaming.files.peaks import HOP_FRAMES, Curve, Curved, limiting, true_peaks
from streaming.files.sound import Sound

CEILING_MARGIN_DB = 0.2
"""Peaks are seen at four times the rate; what lies between those samples fits in here."""
SILENCE_LUFS = -70.0
"""The absolute gate of ITU-R BS.1770-4: at or below it there is no loudness to speak of."""
_NEAR_ENOUGH_LU = 0.05
_MAX_PASSES = 5

PRESETS = {
    "youtube": LoudnessGoal(lufs=-14.0),
    "spotify": LoudnessGoal(lufs=-14.0),
    "apple": LoudnessGoal(lufs=-16.0),
    "podcast": LoudnessGoal(lufs=-16.0),
    "ebu": LoudnessGoal(lufs=-23.0),
}
"""What platforms bring music to, by name; a file at that level is left as it is there."""


def goal_of(timeline: Timeline | None, *, has_picture: bool) -> LoudnessGoal | None:
    """What a piece is brought to where nobody asks for more: its timeline's, or under a clip that of most platforms."""
    asked = None if timeline is None else timeline.loudness
    return LoudnessGoal() if asked is None and has_picture else asked


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness (ITU-R BS.1770-4) and true peak; None where there is only silence."""

    lufs: float | None
    true_peak_db: float | None


def measure(sound: Sound) -> Loudness:
    """Loudness and true peak of the whole, by libavfilter's ebur128."""
    found = _ebur128(sound, "peak=true:metadata=1")
    peak = float(found.get("lavfi.r128.true_peak", 0.0))
    lufs = _lufs_of(found)
    return Loudness(
        lufs=None if lufs is None else round(lufs, 2),
        true_peak_db=round(20 * float(np.log10(peak)), 2) if peak > 0 else None,
    )


def _ebur128(sound: Sound, options: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for frame in filtered(sound, [("ebur128", options)]):
        found = dict(frame.metadata) or found  # it speaks every 100 ms; a shorter rest at the end says nothing
    return found


def _lufs_of(found: dict[str, str]) -> float | None:
    lufs = float(found.get("lavfi.r128.I", SILENCE_LUFS))
    return lufs if lufs > SILENCE_LUFS else None


def _lufs(sound: Sound) -> float | None:
    return _lufs_of(_ebur128(sound, "metadata=1"))


def level_for(sound: Sound, lufs: float | None, true_peak_db: float, *, is_loop: bool = False) -> Curve:
    """The gain curve that brings the whole to `lufs` with peaks of `true_peak_db` at most; silence stays silence.

    Without `lufs` it only keeps the peaks down.
    """
    peaks, ceiling_db = true_peaks(sound), true_peak_db - CEILING_MARGIN_DB
    curve = limiting(peaks, ceiling_db, is_loop=is_loop)
    if lufs is None:
        return curve
    gain_db, measured = 0.0, _lufs(Curved(sound, curve))
    slope = 1.0  # by how much the loudness rises with the gain; the limiter takes some of it away
    for _ in range(_MAX_PASSES):
        if measured is None or abs(lufs - measured) < _NEAR_ENOUGH_LU:
            break
        step_db = (lufs - measured) / slope
        gain_db += step_db
        gain = np.float32(10 ** (gain_db / 20))
        curve = gain * limiting(gain * peaks, ceiling_db, is_loop=is_loop)
        before, measured = measured, _lufs(Curved(sound, curve))
        if measured is not None:
            slope = float(np.clip((measured - before) / step_db, 0.25, 1.0))
    return curve


def kept_outside(curve: Curve, sound: Sound, true_peak_db: float, spans: Sequence[tuple[int, int]]) -> Curve:
    """`curve`, deeper within `spans` (frames) where the peaks of `sound` ask for it, and the same everywhere else."""
    deeper = limiting(true_peaks(Curved(sound, curve)), true_peak_db - CEILING_MARGIN_DB)
    points = np.arange(len(curve)) * HOP_FRAMES
    is_inside = np.zeros(len(curve), bool)
    for start, end in spans:  # between two points the gain is a straight line
        is_inside |= (points >= start + HOP_FRAMES) & (points <= end - HOP_FRAMES)
    return np.where(is_inside, curve * deeper, curve)
