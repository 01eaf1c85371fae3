"""What the music is does not change unawares: ten takes sound, to the bit, as when their hashes were taken.

Floating-point sums depend on the vector units that the kernels are compiled for, so hashes hold for one kind of
processor. `python -m tests.golden` takes those of this one anew, where a change of the music is meant.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from llvmlite import binding

from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from tests.golden.perform import perform
from tests.golden.takes import TAKES, GoldenTake

HASHES = Path(__file__).with_name("takes.json")


def processor() -> str:
    """What the kernels are compiled for."""
    return binding.get_host_cpu_name()


def digest(take: GoldenTake, generator: Generator) -> str:
    return hashlib.sha256(perform(take, generator).tobytes()).hexdigest()


def digests() -> dict[str, str]:
    generator = open_generator(EngineConfig(max_slots=1))
    return {name: digest(take, generator) for name, take in TAKES.items()}


@pytest.fixture(scope="module")
def generator() -> Generator:
    return open_generator(EngineConfig(max_slots=1))


@pytest.mark.parametrize("name", TAKES)
def test_a_take_sounds_as_it_did(name: str, generator: Generator) -> None:
    kept = json.loads(HASHES.read_text())
    if processor() not in kept:
        pytest.skip(f"hashes were taken on {', '.join(kept)}; this is {processor()}")
    assert digest(TAKES[name], generator) == kept[processor()][name]
