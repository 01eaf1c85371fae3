"""Take the golden hashes of this kind of processor: python -m tests.golden

Where the music is meant to have changed, those of all other kinds are dropped: they tell of the music before.
"""

from __future__ import annotations

import json

from tests.golden.test_takes import HASHES, digests, processor

if __name__ == "__main__":
    kept = json.loads(HASHES.read_text()) if HASHES.exists() else {}
    taken = digests()
    others = kept if kept.get(processor(), taken) == taken else {}
    HASHES.write_text(json.dumps(others | {processor(): taken}, indent=1) + "\n")
