"""How long is fuzzed: the same examples every time, or as many others as FUZZ_EXAMPLES says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NUM_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def fuzzed(num_examples: int) -> settings:
    return settings(
        max_examples=NUM_EXAMPLES or num_examples,
        derandomize=not NUM_EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
