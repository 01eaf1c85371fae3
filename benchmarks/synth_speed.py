"""How many seconds of sound does a CPU second make, 64 voices at a time: ours, FluidSynth's and tinysoundfont's?

Two minutes in which 64 notes sound all the time, of four instruments at once and another four every four seconds,
through our synth as it stands in a station (effects and master included), through FluidSynth with reverb and chorus,
and through tinysoundfont, which has neither; the same notes at 48 kHz, each in a process of its own, one after another,
CPU time of all threads. Reading the bank counts for none of them: FluidSynth's is what the piece takes above a piece
of one note. Besides, the share of one core that our synth takes for a full arrangement, 24 voices.

Takes Debian's `fluidsynth` and `fluid-soundfont-gm`, and `pip install --no-deps tinysoundfont`; what is missing is left
out and said.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.harness import ROOT, record
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.synth import Synth, compile_ahead
from moods.harmony import Key
from moods.intent import LAYERS, NO_RECALL, STYLES, Intent

BANK = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SECONDS, BAR_S = 120, 4
FULL, ARRANGEMENT = 64, 24
FRAMES_PER_TICK = 50
VELOCITY = 90
LOWEST = {"bass": 28, "harmony": 50, "texture": 57, "lead": 64}
"""Pitch of each layer's lowest note; its others follow upwards."""
PROGRAMS = {
    "bass": (32, 33, 38, 39), "harmony": (4, 0, 24, 48), "texture": (88, 89, 49, 52), "lead": (73, 80, 11, 40),
}  # fmt: skip
"""General MIDI programs that a layer changes among."""
OTHERS = ("fluidsynth", "tinysoundfont")


def piece(num_voices: int, seconds: int) -> npt.NDArray[np.void]:
    """Every voice strikes again every BAR_S seconds and rests for a sixty-fourth of that; none begin together."""
    layers = [LAYERS.index(name) for name in LOWEST]
    bar_frames = BAR_S * SAMPLE_RATE
    rest = bar_frames // FULL // FRAMES_PER_TICK * FRAMES_PER_TICK
    rows = [
        (bar * bar_frames + voice * bar_frames // num_voices // FRAMES_PER_TICK * FRAMES_PER_TICK, bar_frames - rest,
         layers[voice % len(layers)], list(LOWEST.values())[voice % len(layers)] + voice // len(layers), VELOCITY)
        for bar in range(seconds // BAR_S) for voice in range(num_voices)
    ]  # fmt: skip
    return as_sounds(rows)


def steady_intents() -> dict[str, Intent]:
    """An intent a style, the same from beginning to end."""
    return {
        style: Intent(
            0, 0.5, 0, tuple(float(name == style) for name in STYLES), 100, Key(0, "major"), 0.5, 0.5,
            (0.0,) * len(LAYERS), (True,) * len(LAYERS), 1, -16, 0, 1, 1, "A", 0, None, NO_RECALL, "none", None,
        )
        for style in STYLES
    }  # fmt: skip


def run_ours(num_voices: int) -> float:
    """CPU seconds of the piece, kernels compiled, a style a bar."""
    compile_ahead()
    intents = steady_intents()
    synth = Synth(1)
    synth.open(0, seed=1)
    synth.play(0, piece(num_voices, SECONDS))

    def intent_of(_: int, frame: int) -> Intent:
        return intents[STYLES[frame // (BAR_S * SAMPLE_RATE) % len(STYLES)]]

    began = time.process_time()
    for _ in range(SECONDS * SAMPLE_RATE // BLOCK_FRAMES):
        synth.render([0], intent_of, BLOCK_FRAMES)
    return time.process_time() - began


def _program(sound: np.void) -> int:
    programs = PROGRAMS[LAYERS[sound["layer"]]]
    return programs[int(sound["frame"]) // (BAR_S * SAMPLE_RATE) % len(programs)]


def write_midi(sounds: npt.NDArray[np.void], file: Path) -> None:
    """One channel for every program, so that no program changes under a note that sounds."""
    import symusic  # of the others' side alone

    score = symusic.Score(SAMPLE_RATE // FRAMES_PER_TICK // 2)
    score.tempos.append(symusic.Tempo(0, qpm=120))
    for program in sorted({_program(sound) for sound in sounds}):
        track = symusic.Track(str(program), program, False)
        for sound in sounds:
            if _program(sound) == program:
                start, length = int(sound["frame"]) // FRAMES_PER_TICK, int(sound["length"]) // FRAMES_PER_TICK
                track.notes.append(symusic.Note(start, length, int(sound["pitch"]), int(sound["velocity"])))
        score.tracks.append(track)
    score.dump_midi(str(file))


def _fluidsynth_cpu_s(sounds: npt.NDArray[np.void]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        write_midi(sounds, Path(folder) / "piece.mid")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            ["fluidsynth", "-niq", "-r", str(SAMPLE_RATE), "-T", "raw", "-F", f"{folder}/out.raw", str(BANK),
             f"{folder}/piece.mid"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_fluidsynth(num_voices: int) -> float:
    """CPU seconds of the piece above those of its first note; reverb and chorus are on, as FluidSynth starts."""
    sounds = piece(num_voices, SECONDS)
    _fluidsynth_cpu_s(sounds[:1])  # the bank into the system's memory
    return _fluidsynth_cpu_s(sounds) - _fluidsynth_cpu_s(sounds[:1])


def run_tinysoundfont(num_voices: int) -> float:
    """CPU seconds of the piece."""
    import tinysoundfont

    sounds = piece(num_voices, SECONDS)
    synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE)
    bank = synth.sfload(str(BANK))
    programs = sorted({_program(sound) for sound in sounds})
    for channel, program in enumerate(programs):
        synth.program_select(channel, bank, 0, program)
    events = sorted(
        event for sound in sounds for event in (
            (int(sound["frame"]), 1, programs.index(_program(sound)), int(sound["pitch"])),
            (int(sound["frame"] + sound["length"]), 0, programs.index(_program(sound)), int(sound["pitch"])),
        )
    )  # fmt: skip
    began, at = time.process_time(), 0
    for frame in range(0, SECONDS * SAMPLE_RATE, BLOCK_FRAMES):
        while at < len(events) and events[at][0] < frame + BLOCK_FRAMES:
            _, is_on, channel, pitch = events[at]
            if is_on:
                synth.noteon(channel, pitch, VELOCITY)
            else:
                synth.noteoff(channel, pitch)
            at += 1
        synth.generate(BLOCK_FRAMES)
    return time.process_time() - began


def _is_there(name: str) -> bool:
    if not BANK.exists():
        print(f"{name} is left out: {BANK} is missing (apt-get install fluid-soundfont-gm)", file=sys.stderr)
        return False
    if name == "fluidsynth" and shutil.which(name) is None:
        print("fluidsynth is left out: it is not installed (apt-get install fluidsynth)", file=sys.stderr)
        return False
    try:
        if name == "tinysoundfont":
            import tinysoundfont  # noqa: F401
    except ImportError:
        print("tinysoundfont is left out: pip install --no-deps tinysoundfont", file=sys.stderr)
        return False
    return True


def measure(name: str, num_voices: int) -> float:
    """CPU seconds in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.synth_speed", name, str(num_voices)],
        cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> None:
    if len(sys.argv) > 1:
        run = {"ours": run_ours, "fluidsynth": run_fluidsynth, "tinysoundfont": run_tinysoundfont}[sys.argv[1]]
        print(json.dumps(run(int(sys.argv[2]))))
        return
    speeds = {name: SECONDS / measure(name, FULL) for name in ("ours", *filter(_is_there, OTHERS))}
    record("synth_speed", {
        "audio_s_per_cpu_s": {name: round(speed, 1) for name, speed in speeds.items()},
        "ours_against": {name: round(speeds["ours"] / speeds[name], 2) for name in OTHERS if name in speeds},
        "arrangement_percent": round(100 * measure("ours", ARRANGEMENT) / SECONDS, 2),
    })  # fmt: skip


if __name__ == "__main__":
    main()
