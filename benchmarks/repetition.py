"""How much of an hour has been heard before, with an autopilot and without?

    python -m benchmarks.repetition [--hours 2] [--stations 8] [--first-seed 900] [--picture FILE]

Hours are composed without sound, the same seeds and moods in both arms; the seeds have been used for nothing else. Of
the last hour, compared with the hour before each moment:

- `tunes`, `chords`, `drums`: the share by our own measure (`engine/score/novelty.py`), as the server reports it.
- `lookalikes`: by another one, which knows neither pieces nor figures: chroma of four bars, against all that lies ten
  minutes to an hour back, in all twelve keys; a passage counts where it lies nearer to one of these than 99 % of
  passages lie to what another seed played in the same mood without an autopilot.
- `returns`: the same against what lies less than ten minutes back. Tunes are to return; this is not to fall.

Beside each mean its bootstrap 95 % interval over stations, and that of the difference, for arms share seeds. What has
been composed lies in `--out` and is not composed again: an hour takes a minute of a core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import numpy.typing as npt

from benchmarks.harness import ROOT, record
from engine.notes import TICKS_PER_BEAT
from engine.score.composer import Composer, num_rows
from engine.score.sampling import pack_heads
from engine.score.trunk import CpuTrunk
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.clock import FRAMES_PER_SECOND
from moods.controller import Controller
from moods.drifting import HOUR_FRAMES, Leg
from moods.harmony import PITCH_CLASSES
from moods.intent import BEATS_PER_BAR
from moods.opening import parse_opening

HOUR_S = 3600.0
MOODS = ("focus", "night", "travel", "epic", "food", "romance", "tech", "healing")
AUTOPILOT = {"drift": 0.5, "novelty": 0.5}
PASSAGE_BEATS = 16
BACK_S = 600.0
"""What lies less far back may belong to the same piece."""
CHANCE = 0.01
"""The share of passages that look like another station's."""
RESAMPLES = 4000

Floats = npt.NDArray[np.float64]


class Heard(NamedTuple):
    """What one station played."""

    seconds: Floats  # [B] where each beat begins
    chroma: Floats  # [B, 12]
    shares: Floats  # [3] of tunes, chords and drums at the end


def compose(seed: int, fields: dict[str, Any], seconds: float) -> Heard:
    """So many seconds of an opening by its seed."""
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    composer = Composer(CpuTrunk(tensors, sizes, num_rows(1)), pack_heads(tensors), 1)
    controller = Controller(parse_opening(fields), seed)
    composer.open(0, controller)
    begun, chroma, beat = list[float](), list[Floats](), 0
    while (frame := controller.frame_of_beat(beat)) < seconds * FRAMES_PER_SECOND:
        controller.advance(frame)
        composer.prepare((0,))
        begun.append(frame / FRAMES_PER_SECOND)
        chroma.append(_chroma(composer.take(0).notes))
        controller.forget_before(max(0, frame - 10 * FRAMES_PER_SECOND))
        beat += 1
    found = composer.novelty(0)
    shares = found.repeated_share_last_hour, found.repeated_chords, found.repeated_drums
    return Heard(*map(np.array, (begun, chroma, shares)))


def kept(folder: Path, seed: int, fields: dict[str, Any], seconds: float) -> Heard:
    """The same, from `folder` where it lies there."""
    text = json.dumps([seed, fields, seconds, maker()], sort_keys=True)
    path = folder / f"{seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **compose(seed, fields, seconds)._asdict())
    with np.load(path) as arrays:
        return Heard(**arrays)


def _chroma(notes: npt.NDArray[np.void]) -> Floats:
    """[12] how much of each pitch class begins or lasts in a beat: loud and long notes weigh more."""
    pitched = notes[notes["layer"] > 0]
    weight = np.minimum(pitched["length"], 2 * TICKS_PER_BEAT) / TICKS_PER_BEAT * pitched["velocity"] / 127
    return np.bincount(pitched["pitch"] % 12, weight, 12)


def maker() -> str:
    """The sources that the music depends on, by their sum."""
    digest = hashlib.sha256()
    for folder in ("moods", "engine/score"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def passages(heard: Heard) -> tuple[Floats, Floats]:
    """Passages [P, 12, 16] of chroma of length 1, one a bar, and the second where each begins [P]."""
    chroma = heard.chroma.T
    starts = np.arange(0, chroma.shape[1] - PASSAGE_BEATS + 1, BEATS_PER_BAR)
    cut = librosa.util.frame(chroma, frame_length=PASSAGE_BEATS, hop_length=BEATS_PER_BAR).transpose(2, 0, 1)
    flat = np.linalg.norm(cut.reshape(len(cut), -1), axis=1)[:, None, None]
    return cut / np.maximum(flat, 1e-9), heard.seconds[starts[: len(cut)]]


def likeness(passage: Floats, others: Floats) -> float:
    """Of one passage [12, 16] and the most alike of others [N, 12, 16], in whichever key."""
    if not len(others):
        return 0.0
    turned = np.stack([np.roll(passage, key, axis=0).ravel() for key in range(12)])
    return float((turned @ others.reshape(len(others), -1).T).max())


def judge(heard: Heard, stranger: Heard) -> tuple[float, float]:
    """Shares of the last hour: lookalikes of what lies long back, and of what lies near."""
    own, seconds = passages(heard)
    strange, strange_seconds = passages(stranger)
    last = np.flatnonzero(seconds > seconds[-1] - HOUR_S)
    far, near, chance = [], [], []
    for index in last.tolist():
        back_s = seconds[index] - seconds
        far.append(likeness(own[index], own[(back_s > BACK_S) & (back_s < HOUR_S)]))
        near.append(likeness(own[index], own[(back_s > 20) & (back_s <= BACK_S)]))
        away = strange_seconds[index % len(strange)] - strange_seconds
        chance.append(likeness(own[index], strange[(away > BACK_S) & (away < HOUR_S)]))
    border = np.quantile(chance, 1 - CHANCE)
    return float(np.mean(np.array(far) > border)), float(np.mean(np.array(near) > border))


def interval(values: Floats) -> dict[str, float]:
    """Mean and bootstrap 95 % interval, in percent."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    numbers = {"mean": values.mean(), "low": low, "high": high}
    return {name: round(100 * float(value), 2) for name, value in numbers.items()}


def draw(seed: int, fields: dict[str, Any], seconds: float, path: Path) -> None:
    """A picture of hours that nobody composes: energy and valence, key and tempo, how new each place is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    controller, beat = Controller(parse_opening(fields), seed), 0
    course, legs = list[tuple[float, ...]](), dict[int, Leg]()
    while (frame := controller.frame_of_beat(beat)) < seconds * FRAMES_PER_SECOND:
        controller.advance(frame)
        intent = controller.beat_intent(beat)
        at = frame / FRAMES_PER_SECOND / HOUR_S
        course.append((at, intent.energy, intent.valence, intent.key.tonic, intent.bpm, intent.piece))
        controller.forget_before(max(0, frame - 10 * FRAMES_PER_SECOND))
        assert controller.autopilot is not None
        legs |= {leg.beat: leg for leg in controller.autopilot.legs}
        beat += BEATS_PER_BAR
    hours, energy, valence, tonic, bpm, piece = np.array(course).T
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    mood, key, tempo, places = figure.subplots(4, 1, sharex=True)
    mood.plot(hours, energy, label="energy", color="#c0392b")
    mood.plot(hours, valence, label="valence", color="#2471a3")
    mood.set_ylim(-1, 1)
    mood.legend(loc="upper right", frameon=False, ncols=2)
    key.step(hours, tonic, where="post", color="#555555")
    key.set_yticks(range(0, 12, 2), PITCH_CLASSES[::2])
    key.set_ylabel("tonic")
    tempo.plot(hours, bpm, color="#8e44ad")
    tempo.set_ylabel("beats a minute")
    for begin in hours[1:][np.diff(piece) > 0]:
        for axes in (mood, key, tempo, places):
            axes.axvline(begin, color="black", linewidth=0.5, linestyle=":")
    path_of = list(legs.values())
    far = [(leg.frame / FRAMES_PER_SECOND / HOUR_S, _apart(leg, path_of)) for leg in path_of[1:]]
    places.stem(*np.array(far).T, basefmt=" ", linefmt="#229954", markerfmt=".")
    places.set_ylabel("from the nearest\nof the last hour")
    places.set_xlabel("hours; dotted: another piece begins")
    figure.suptitle(f"{fields['mood']}, autopilot {json.dumps(fields['autopilot'])}")
    figure.savefig(path, dpi=100)


def _apart(leg: Leg, legs: Sequence[Leg]) -> float:
    """How far a leg's place lies from all that came within the hour before it."""
    return min(leg.place.distance(other.place) for other in legs if leg.frame - HOUR_FRAMES < other.frame < leg.frame)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repetition", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--stations", type=int, default=8, help="of each arm; an even number")
    parser.add_argument("--first-seed", type=int, default=900)
    parser.add_argument("--autopilot", default=json.dumps(AUTOPILOT), help="its settings as JSON")
    parser.add_argument("--out", type=Path, default=Path("runs/repetition"), help="folder for what was composed")
    parser.add_argument("--picture", type=Path, help="draw the way of the first station and do no more")
    options = parser.parse_args(arguments)
    autopilot, seconds = json.loads(options.autopilot), options.hours * HOUR_S
    seeds = range(options.first_seed, options.first_seed + options.stations)
    # Two seeds share each mood: the one says what chance is for the other.
    openings: list[dict[str, Any]] = [{"mood": MOODS[seed // 2 % len(MOODS)]} for seed in seeds]
    if options.picture is not None:
        draw(seeds[0], openings[0] | {"autopilot": autopilot}, seconds, options.picture)
        return
    arms = [
        [kept(options.out, seed, fields | more, seconds) for seed, fields in zip(seeds, openings, strict=True)]
        for more in ({}, {"autopilot": autopilot})
    ]
    figures = np.array([
        [(*heard.shares, *judge(heard, arms[0][index ^ 1])) for index, heard in enumerate(arm)] for arm in arms
    ])  # fmt: skip
    result: dict[str, Any] = {"hours": options.hours, "stations": len(seeds), "first_seed": seeds[0]}
    result["autopilot"] = autopilot
    for column, name in enumerate(("tunes", "chords", "drums", "lookalikes", "returns")):
        without, with_it = figures[:, :, column]
        result[name] = {
            "without": interval(without), "with": interval(with_it), "difference": interval(with_it - without),
        }  # fmt: skip
    record("repetition", result)


if __name__ == "__main__":
    main()
