"""`undersong render`: music into files, and under a clip. In: the command's words; out: an exit status, the report.

Remembers nothing; the main thread calls it. Imports what is slow when it is needed.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streaming.command import (
    LONGEST_S,
    MOOD_FIELDS,
    CommandParser,
    Failure,
    UsageError,
    add_engine_options,
    add_mood_options,
    engine_config,
    file_path,
    mood_fields,
    num_frames_of,
    starting,
    tell_unknown,
    telling_impossible,
)
from streaming.terminal import note, printable, tell

if TYPE_CHECKING:  # importing it takes a moment, which most commands can do without
    from engine.take import Take
    from moods.timeline import LoudnessGoal, Timeline
    from streaming.files.credentials import Credentials
    from streaming.files.export import Progress, RenderJob
    from streaming.files.video import Video

DEFAULT_S = 30.0
ENDINGS = ("cadence", "ring", "fade", "stop", "loop")
LOUDNESS = ("youtube", "spotify", "apple", "podcast", "ebu")
LOWEST_LUFS, HIGHEST_LUFS = -40.0, -6.0
BITS = (16, 24)
MOST_VARIATIONS = 8
_DUCK_OFF = "off"
_MET_MS = 20.0
"""About a frame of the picture."""


def add_render(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    render = commands.add_parser("render", help="music into a file, exact to the frame, or under a clip")
    assert isinstance(render, CommandParser)
    add_mood_options(render)
    what = render.add_argument_group("what is played")
    what.add_argument("--seconds", type=float, metavar="S", help="length (default 30; of a take, all that it asks for)")
    what.add_argument("--timeline", type=Path, metavar="FILE", help="a json, otio, fcpxml, xml, edl or csv to follow")
    what.add_argument("--video", type=Path, metavar="FILE", help="a clip: its length, its cuts, its speech")
    what.add_argument("--take", type=Path, metavar="FILE.jsonl", help="a station's take, performed again")
    what.add_argument(
        "--variations", type=_count, default=1, metavar="N", help="so many pieces on one plan: x.wav, x-2.wav …"
    )
    what.add_argument(
        "--redo", type=_region, action="append", metavar="A-B[:SEED]",
        help="compose the seconds A to B once more, from bar line to bar line; all else stays to the sample",
    )  # fmt: skip
    what.add_argument("--ending", choices=ENDINGS, help="how it ends (default cadence)")
    what.add_argument("--preset", metavar="NAME", help="a clip for the platforms: 15s, 30s or 60s")
    what.add_argument("--loop", action="store_true", help="the same as --ending loop: the end leads into the beginning")
    what.add_argument("--speech", type=Path, metavar="FILE", help="an srt or vtt: where somebody speaks")
    what.add_argument("--duck", metavar="DB|off", help="how far the music steps back under speech (default -12)")
    files = render.add_argument_group("files")
    files.add_argument(
        "--out", type=file_path, required=True, metavar="FILE",
        help="a name in wav, flac, mp3, m4a, opus, ogg, oga or mp4; with --video the clip in mp4, mov, mkv or webm too",
    )  # fmt: skip
    files.add_argument("--also", type=file_path, action="append", metavar="FILE", help="one more file of the same")
    files.add_argument("--bits", type=int, choices=BITS, default=24, help="of a sample in wav and flac (default 24)")
    files.add_argument("--stems", type=Path, metavar="DIR", help="a file of each layer too; they sum to the mix")
    files.add_argument("--unducked", type=file_path, metavar="FILE", help="the music alone, not ducked, too")
    files.add_argument("--midi", type=file_path, metavar="FILE.mid", help="the notes too")
    files.add_argument(
        "--markers", type=file_path, action="append", metavar="FILE",
        help="beats, bars, sections and hits too: otio, fcpxml, xml, edl, csv, json or txt",
    )  # fmt: skip
    files.add_argument("--sheet", type=file_path, metavar="FILE", help="licences and sources too, as text")
    level = files.add_mutually_exclusive_group()
    level.add_argument("--lufs", type=float, metavar="L", help="loudness; default: the stream's own, with --video -14")
    level.add_argument("--loudness", choices=LOUDNESS, help="loudness by its platform's name")
    signing = files.add_mutually_exclusive_group()
    signing.add_argument(
        "--credentials", type=Path, nargs=2, metavar=("CERT.pem", "KEY.pem"),
        help="who signs the files' Content Credentials (default: a certificate made for a test)",
    )  # fmt: skip
    signing.add_argument("--no-credentials", action="store_true", help="leave Content Credentials out")
    render.add_argument("--json", action="store_true", help="report on stdout as one JSON object")
    add_engine_options(render)
    render.set_defaults(run=_render)


def _region(text: str) -> dict[str, Any]:
    """Of `A-B` or `A-B:SEED`, as a timeline has it."""
    seconds, _, seed = text.partition(":")
    start, _, end = seconds.partition("-")
    try:
        chosen = int(seed) if seed else secrets.randbelow(2**32)
        return {"start": float(start), "end": float(end), "seed": chosen}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected seconds such as 8-16, or 8-16:7 with a seed") from None


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MOST_VARIATIONS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected 1 … {MOST_VARIATIONS}")


def _render(options: argparse.Namespace) -> int:
    from streaming.files.export import export

    _check_words(options)
    with telling_impossible(), _naming_take(options), _progress() as on_progress:
        job, make_generator = _job(options, on_progress)
        generator = cache(make_generator)
        reports = [
            export(_variation(job, number), on_progress, make_generator=generator)
            for number in range(1, options.variations + 1)
        ]
        report = reports[0] if len(reports) == 1 else {**reports[0], "variations": reports}
    if options.json:
        tell(json.dumps(report))
    else:
        tell("\n".join(map(_summary, reports)))
    return 0


def _variation(job: RenderJob, number: int) -> RenderJob:
    """The same plan by another seed, into files of other names; the first is itself."""
    if number == 1:
        return job
    from moods.variation import variation_seed

    def other(path: Path) -> Path:
        return path.with_stem(f"{path.stem}-{number}")

    return replace(
        job,
        take=replace(job.take, seed=variation_seed(job.take.seed, number - 1)),
        out=other(job.out),
        also=tuple(map(other, job.also)),
        markers=tuple(map(other, job.markers)),
        unducked=job.unducked and other(job.unducked),
        midi=job.midi and other(job.midi),
        sheet=job.sheet and other(job.sheet),
    )


def _summary(report: dict[str, Any]) -> str:
    loudness = report["loudness"]
    level = "silence" if loudness["lufs"] is None else f"{loudness['lufs']:.1f} LUFS"
    others = f" and {len(report['files']) - 1} more" if len(report["files"]) > 1 else ""
    lines = [
        f"{printable(report['out'])}{others}: {report['seconds']:g} s, {report['key']}, {report['bpm']:g} bpm, "
        f"{level}, seed {report['seed']}, made in {report['wall_seconds']:.1f} s"
    ]
    if anchors := [anchor for anchor in report.get("anchors", ()) if anchor["kind"] != "end"]:
        met = sum(abs(anchor["error_ms"]) <= _MET_MS for anchor in anchors)
        tempo = report["tempo"]
        lines.append(
            f"{met} of {len(anchors)} hits, cuts and sections lie on a beat; "
            f"tempo {tempo['lowest']:g} … {tempo['highest']:g} bpm, asked for {tempo['asked']:g}"
        )
    if anew := ", ".join(f"{start:.2f} … {end:.2f}" for start, end in report.get("redo", ())):
        lines.append(f"composed once more, from bar line to bar line: {anew} s")
    return "\n".join(lines)


def _check_words(options: argparse.Namespace) -> None:
    """Raises `UsageError` for words that go ill together."""
    if options.lufs is not None and not LOWEST_LUFS <= options.lufs <= HIGHEST_LUFS:
        raise UsageError(f"--lufs is {options.lufs:g}; allowed is {LOWEST_LUFS:g} … {HIGHEST_LUFS:g}")
    if options.loop and options.ending not in (None, "loop"):
        raise UsageError(f"--loop and --ending {options.ending} are both given; leave one out")
    if options.take is not None:
        others = [name for name in ("mood", *MOOD_FIELDS, "seed") if getattr(options, name) is not None]
        others += ["timeline"] if options.timeline is not None else []
        others += ["preset"] if options.preset is not None else []
        others += ["variations"] if options.variations > 1 else []
        if others:
            words = ", ".join("MOOD" if name == "mood" else f"--{name}" for name in others)
            raise UsageError(f"{words} and --take are both given; a take says itself what is played")
    if options.seconds is not None:
        if options.timeline is not None or options.video is not None:
            other = "--timeline" if options.timeline is not None else "--video"
            raise UsageError(f"--seconds and {other} are both given; {other} says how long it is")
        num_frames_of(options.seconds)


def _job(options: argparse.Namespace, on_progress: Callable[[Progress], None]) -> tuple[RenderJob, Any]:
    """What the words ask for, and what makes its generator."""
    from engine.backends import open_generator
    from streaming.files.export import RenderJob

    video = _video(options)
    config = engine_config(options)
    make_generator = open_generator if video is None else _opened_ahead(config)
    if options.take is not None:
        take, num_frames = _kept_take(options)
    else:
        take, num_frames = _new_take(options, video, on_progress)
    if video is not None:
        num_frames = video.num_sound_frames
    job = RenderJob(
        take=take,
        num_frames=num_frames,
        out=options.out,
        config=config,
        goal=_goal(options, take.opening.timeline),
        also=tuple(options.also or ()),
        bits=options.bits,
        video=options.video,
        sources=tuple(path for path in (options.timeline, options.take, options.speech) if path is not None),
        unducked=options.unducked,
        stems=options.stems,
        midi=options.midi,
        markers=tuple(options.markers or ()),
        sheet=options.sheet,
        credentials=_credentials(options),
    )
    return job, make_generator


def _video(options: argparse.Namespace) -> Video | None:
    """The clip that `--video` names. Raises `BadVideo`."""
    if options.video is None:
        return None
    from streaming.files.video import probe

    video = probe(options.video)
    if video.sound_index is None:
        note(f"{options.video.name} has no sound of its own; what is heard is the music alone")
    return video


def _opened_ahead(config: Any) -> Callable[[Any], Any]:
    """Open a generator while the clip is looked at; what this returns waits for it."""
    from concurrent.futures import ThreadPoolExecutor

    from engine.backends import open_generator

    pool = ThreadPoolExecutor(1, "generator")
    opened = pool.submit(open_generator, config)
    pool.shutdown(wait=False)
    return lambda config: opened.result()


def _new_take(
    options: argparse.Namespace, video: Video | None, on_progress: Callable[[Progress], None]
) -> tuple[Take, int]:
    """What is played where no take says it: a timeline from the words, from a file, from the clip."""
    from engine.take import Take
    from moods.opening import Opening

    timeline = _timeline(options, video, on_progress)
    tell_unknown(timeline)
    seed = timeline.seed
    if seed is None:
        seed = secrets.randbelow(2**32)
    return Take(Opening(timeline=timeline), seed), timeline.num_frames


def _timeline(options: argparse.Namespace, video: Video | None, on_progress: Callable[[Progress], None]) -> Timeline:
    from moods.clip import clip_timeline
    from moods.timeline import parse_timeline

    asked = {} if options.timeline is None else _read_timeline("--timeline", options.timeline, video)
    words = mood_fields(options)
    if "mood" in words or "prompt" in words:  # instead of the file's
        asked = {name: value for name, value in asked.items() if name not in ("mood", "prompt", "strict")}
    asked |= words
    if options.seed is not None:
        asked["seed"] = options.seed
    if options.loop or options.ending is not None:
        asked["ending"] = "loop" if options.loop else options.ending
    if options.speech is not None:
        asked["speech"] = _read_timeline("--speech", options.speech, video).get("speech", [])
    if options.redo:
        asked["redo"] = options.redo
    if options.duck is not None:
        asked["duck"] = _duck(options.duck)
    if video is not None:
        from streaming.files.export import Progress
        from streaming.files.preparing import timeline_for

        if options.preset is not None:
            asked = clip_timeline(options.preset, {"duration": float(video.duration)} | asked)
        return timeline_for(asked, video, lambda share: on_progress(Progress("reading", share)))
    if "duration" not in asked and (seconds := _length_s(options, asked)) is not None:
        asked["duration"] = seconds
    if options.preset is not None:
        asked = clip_timeline(options.preset, asked)
    return parse_timeline({"duration": DEFAULT_S} | asked)


def _length_s(options: argparse.Namespace, asked: dict[str, Any]) -> float | None:
    """What `--seconds` says, or else the prompt."""
    if options.seconds is not None:
        return float(options.seconds)
    from moods.prompt import resolve_prompt

    prompt = resolve_prompt(asked["prompt"]) if "prompt" in asked else None
    return None if prompt is None else prompt.seconds


def _read(option: str, path: Path) -> bytes:
    """What is in the file that an option names."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {str(path)!r} cannot be read: {error.strerror}; name another file") from error


def _read_timeline(option: str, path: Path, video: Video | None) -> dict[str, Any]:
    """The timeline of an editing program's file, as JSON has it. Raises `BadExchange`."""
    from streaming.files.exchange import read_exchange

    fps, duration = (None, None) if video is None else (video.fps, video.duration)
    reading = read_exchange(_read(option, path), path.name, fps=fps, duration=duration)
    for line in reading.notes:
        note(f"{path.name}: {line}")
    return reading.timeline.asked()


def _duck(word: str) -> dict[str, Any]:
    if word == _DUCK_OFF:
        return {"under": "nothing"}
    try:
        return {"gain_db": float(word)}
    except ValueError:
        raise UsageError(f"--duck is {word!r}; expected decibels, such as -12, or off") from None


def _goal(options: argparse.Namespace, timeline: Timeline | None) -> LoudnessGoal | None:
    """The words' loudness, or the timeline's; under a clip that of most platforms."""
    from moods.timeline import LoudnessGoal
    from streaming.files.loudness import PRESETS, goal_of

    if options.loudness is not None:
        return PRESETS[options.loudness]
    goal = goal_of(timeline, has_picture=options.video is not None)
    if options.lufs is not None:
        return (goal or LoudnessGoal()).model_copy(update={"lufs": options.lufs})
    return goal


def _credentials(options: argparse.Namespace) -> Credentials | None:
    """Raises `BadCredentials`."""
    if options.no_credentials:
        return None
    from streaming.files.credentials import read_credentials, self_made_credentials

    return self_made_credentials() if options.credentials is None else read_credentials(*options.credentials)


@contextmanager
def _naming_take(options: argparse.Namespace) -> Iterator[None]:
    """Say of which file a bad take is."""
    from engine.errors import BadTake

    try:
        yield
    except BadTake as error:
        raise Failure(f"{options.take}: {error}") from error


def _read_take(options: argparse.Namespace) -> Take:
    """The take that `--take` names. Raises `BadTake`."""
    from engine.device import choose_device
    from engine.take import read_take

    take = read_take(_read("--take", options.take))
    assert take.header is not None, "it was read from a file"
    if (device := choose_device(options.device or "auto")) != take.header.device:
        note(f"{options.take} was made on {take.header.device}; {device} rounds otherwise: samples may differ a little")
    return take


def _kept_take(options: argparse.Namespace) -> tuple[Take, int]:
    """The take that was kept, at the length and with the ending and the regions anew that the words ask for."""
    from engine.take import refitted
    from moods.fields import parse
    from moods.timeline import Redo

    take = _read_take(options)
    num_frames = _take_frames(take, options)
    if options.ending is not None or options.loop:
        take = refitted(take, num_frames, "loop" if options.loop else options.ending)
    return replace(take, redo=tuple(parse(Redo, region) for region in options.redo or ())), num_frames


def _take_frames(take: Take, options: argparse.Namespace) -> int:
    """How much of a take is rendered."""
    from engine.audio import SAMPLE_RATE
    from engine.render import length_of

    if options.seconds is not None:
        return num_frames_of(options.seconds)
    most_frames = round(LONGEST_S * SAMPLE_RATE)
    num_frames = length_of(take, most_frames)
    if num_frames > most_frames:
        raise UsageError(f"the take is longer than {LONGEST_S:g} s; say with --seconds how much of it is rendered")
    return num_frames


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Show how far it is, on a terminal."""
    with starting() as has_begun:
        if not sys.stderr.isatty():
            yield lambda progress: None
            return
        from rich import progress as bars
        from rich.console import Console

        bar = bars.Progress(console=Console(stderr=True), transient=True)
        task = bar.add_task("composing", total=1.0)

        def on_progress(now: Progress) -> None:
            if now.stage == "reading":  # the generator may still be starting beside it
                return
            has_begun()
            bar.start()  # not before: until then the line belongs to the notice
            bar.update(task, completed=now.share, description=now.stage)

        try:
            yield on_progress
        finally:
            bar.stop()
