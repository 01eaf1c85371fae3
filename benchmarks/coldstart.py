"""How long from `undersong serve` to being able to take work?

The very first start compiles all kernels into an empty cache; later starts load them. Both from the command to
`/readyz` answering 200.
"""

from __future__ import annotations

import sys
import tempfile

from benchmarks.harness import record, running_server

NUM_LATER = 3


def start(cache: str) -> float:
    with running_server(environment={"NUMBA_CACHE_DIR": cache}) as server:
        return server.ready_s


def main(num_later: int = NUM_LATER) -> None:
    with tempfile.TemporaryDirectory() as cache:
        first_s = start(cache)
        later_s = [start(cache) for _ in range(num_later)]
    record("coldstart", {"first_s": round(first_s, 2), "later_s": [round(value, 2) for value in later_s]})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
