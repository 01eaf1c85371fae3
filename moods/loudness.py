"""How loud the music is to be. In: the energy that is asked for, and the form's intensity; out: LUFS.

Remembers nothing; any thread.
"""

from __future__ import annotations

from moods.cycles import NEUTRAL

STILL_LUFS, DRIVING_LUFS = -19.0, -14.0
"""What energy 0 and 1 ask for where the form is neither held back nor lifted."""
MOST_BELOW_LU, MOST_ABOVE_LU = 5.0, 3.0
"""How far the form moves that: a break is held back, a climax lifted."""
_FALL_LU, _RISE_LU = 20.0, 6.0
"""Over the whole range of intensity, below and above the neutral one: a break is soft from its first bar on, and only
a climax reaches the most."""


def target_lufs(energy: float, intensity: float) -> float:
    """The loudness that the music is brought to: what `energy` (0 … 1) asks for, moved by the form's `intensity`."""
    swing = intensity - NEUTRAL
    form_lu = max(-MOST_BELOW_LU, _FALL_LU * swing) if swing < 0 else min(MOST_ABOVE_LU, _RISE_LU * swing)
    return STILL_LUFS + (DRIVING_LUFS - STILL_LUFS) * energy + form_lu
