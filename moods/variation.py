"""Variations: other music to the same plan. In: a seed and a number; out: a seed. Remembers nothing; any thread."""

from __future__ import annotations

import hashlib

from moods.fields import MAX_SEED

_SEED_BITS = 53
"""As many as JavaScript keeps, so that a variation's seed can be said again."""


def variation_seed(seed: int, number: int) -> int:
    """The seed of variation `number`: 0 is the seed itself, each other one the first bits of a SHA-256 of both."""
    assert 0 <= seed <= MAX_SEED and number >= 0, (seed, number)
    if number == 0:
        return seed
    digest = hashlib.sha256(f"variation/{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)
