"""`python -m engine FILE.wav --mood night --seconds 20`: hear the engine alone, through the step() that streams."""

from __future__ import annotations

import argparse
import wave

import numpy as np

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.config import EngineConfig
from engine.render import render
from moods.opening import Opening


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("out", metavar="FILE.wav")
    parser.add_argument("--mood", default="focus")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()

    config = EngineConfig(device=options.device, max_slots=1)
    num_frames = round(options.seconds * SAMPLE_RATE)
    with wave.open(options.out, "wb") as file:
        file.setnchannels(CHANNELS)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for block in render(Opening(mood=options.mood), options.seed, num_frames, config):
            samples = np.clip(np.rint(block[0].T * 32768), -32768, 32767).astype("<i2")
            file.writeframes(samples.tobytes())


if __name__ == "__main__":
    main()
