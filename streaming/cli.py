"""The `undersong` command. In: words; out: an exit status, one line on stderr for an error, JSON on stdout if asked.

Exit 0: done; 2: usage error; 1: it failed. Each command imports what it needs when it runs, so that
`--help` and `moods` answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from engine.backends import GENERATORS
from engine.config import DEVICES
from engine.errors import EngineError
from moods.errors import MoodsError, NotUnderstood, UnknownMood, shown
from streaming.errors import BadConfig, StreamingError
from streaming.journal import LOG_LEVELS
from streaming.terminal import note, prepare_streams, printable, tell
from undersong_launch import child_command, child_environment

if TYPE_CHECKING:  # importing it takes a moment, which most commands can do without
    from engine.take import Take

MOOD_NUMBERS = ("valence", "energy", "tension", "bpm", "density", "brightness", "temperature")
MOOD_FIELDS = (*MOOD_NUMBERS, "key", "style")
ENDINGS = ("cadence", "ring", "fade", "stop")
PLAY_LEAD_BLOCKS = 15  # 300 ms: composing a bar on a busy machine fits in
LONGEST_S = 7200.0
DEFAULT_S = 30.0
LOWEST_LUFS, HIGHEST_LUFS = -40.0, -6.0


class UsageError(Exception):
    """A usage error; the text names the value and the way out."""


class Failure(Exception):
    """The command could not do what it was asked."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        tell(message.rstrip("\n"))  # argparse would not mind that nobody can read it


class _Version(argparse.Action):
    def __call__(self, *others: object) -> NoReturn:
        try:
            tell(f"undersong {version('undersong')}")
        except PackageNotFoundError:
            raise Failure("these sources are not installed, so they have no version") from None
        raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status."""
    prepare_streams()
    try:
        with _ends_as_by_ctrl_c():
            options = _parser().parse_args(arguments)
            return options.run(options)
    except BrokenPipeError:  # the reader of our output has left, as head does
        return 0
    except (UsageError, MoodsError, BadConfig) as error:
        return _complain(error, 2)
    except (Failure, EngineError, StreamingError, OSError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)


@contextmanager
def _ends_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP, unless ignored, raise KeyboardInterrupt, so that files half made are taken away."""
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _starting() -> Iterator[Callable[[], None]]:
    """Tell of compilation until the function that this yields is called, and of warnings in a line each."""
    import logging

    from engine.compile import reported_to
    from streaming.starting import StartNotice

    logging.basicConfig(format="undersong: %(message)s", level=logging.WARNING)
    notice = StartNotice()
    with reported_to(notice):
        try:
            yield notice.end
        finally:
            notice.end()


def _complain(error: object, status: int) -> int:
    note(error)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="undersong", description="Endless background music that follows a mood.")
    parser.add_argument("--version", action=_Version, nargs=0, help="name the version, and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    serve = commands.add_parser("serve", help="the server and its studio page")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, help="default 8400")
    serve.add_argument("--engines", type=_engines, metavar="auto|N", help="engine processes (default auto: one a core)")
    serve.add_argument("--public-url", metavar="URL", help="where clients find it, behind a proxy")
    serve.add_argument("--log-level", choices=LOG_LEVELS, help="the least worth a line on stderr (default info)")
    serve.add_argument("--log-json", action="store_true", default=None, help="log JSON, an object a line")
    serve.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; options given here win")
    serve.add_argument("--print-config", action="store_true", help="write the settings as a commented file, and leave")
    _add_engine_options(serve)
    serve.set_defaults(run=_serve)

    play = commands.add_parser("play", help="music on this machine's loudspeaker, until Ctrl-C")
    _add_mood_options(play)
    play.add_argument("--seconds", type=float, metavar="S", help="end after so many seconds, with a cadence")
    play.add_argument("--list-devices", action="store_true", help="name the devices that can play, and leave")
    _add_engine_options(play)
    play.set_defaults(run=_play)

    render = commands.add_parser("render", help="music into a file, exact to the frame")
    _add_mood_options(render)
    render.add_argument(
        "--out", type=_file, required=True, metavar="FILE", help="a name in wav, flac, mp3, m4a, mp4, opus, ogg or oga"
    )
    render.add_argument("--take", type=Path, metavar="FILE.jsonl", help="a station's take, performed again")
    render.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="length (default: as the prompt says, or 30; of a take, all that it asks for)",
    )
    render.add_argument("--ending", choices=ENDINGS, help="how it ends (default cadence)")
    render.add_argument("--lufs", type=float, metavar="L", help="loudness of the file; default: the stream's own level")
    render.add_argument("--json", action="store_true", help="report on stdout as one JSON object")
    _add_engine_options(render)
    render.set_defaults(run=_render)

    moods = commands.add_parser("moods", help="the moods and styles, or what a prompt is taken to mean")
    moods.add_argument("--explain", type=_text, metavar="PROMPT", help="how a free text is understood")
    moods.add_argument("--strict", action="store_true", help="refuse it where nothing of it is understood")
    moods.add_argument("--json", action="store_true")
    moods.set_defaults(run=_moods)

    warm = commands.add_parser("warm", help="compile ahead what a station on the CPU needs, as for an image")
    warm.add_argument("--json", action="store_true", help="report on stdout as one JSON object")
    warm.set_defaults(run=_warm)

    models = commands.add_parser("models", help="the shipped checkpoint")
    models.add_argument("action", choices=("list", "verify"))
    models.add_argument(
        "file", nargs="?", type=Path, help="a checkpoint's folder or weights (default: the shipped one)"
    )
    models.add_argument("--json", action="store_true")
    models.set_defaults(run=_models)

    bench = commands.add_parser("bench", help="measure this machine (in a checkout of the source)")
    bench.add_argument("name", nargs="?", help="one benchmark; without it: the list of them")
    bench.set_defaults(run=_bench)
    return parser


def _engines(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text


def _file(text: str) -> Path:
    if text.endswith(os.sep):
        raise argparse.ArgumentTypeError(f"{text!r} names a folder; name a file")
    return Path(text)


def _text(text: str) -> str:
    """Words as they were typed where they are UTF-8 and the locale took them for something else."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, help="where the model runs (default auto)")
    parser.add_argument("--backend", choices=tuple(GENERATORS), help="what makes the music (default score)")


def _add_mood_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mood", type=_text, nargs="?", metavar='MOOD|"PROMPT"', help="a mood's name or free text")
    for name in MOOD_NUMBERS:
        parser.add_argument(f"--{name}", type=float, metavar="X")
    parser.add_argument("--style", metavar="NAME=WEIGHT,…", help="such as lofi or lofi=0.7,jazz=0.3")
    parser.add_argument("--key", help='such as "A minor"')
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same words: same music")
    parser.add_argument("--strict", action="store_true", help="refuse a prompt of which nothing is understood")


def _serve(options: argparse.Namespace) -> int:
    from streaming.config import Config, load_config

    given = {name: value for name in Config.model_fields if (value := getattr(options, name, None)) is not None}
    config = load_config(options.config, given)
    if options.print_config:
        tell(config.to_toml().rstrip("\n"))
        return 0
    from streaming.engines.local import abandon_ahead, start_ahead

    try:
        start_ahead(config)
        from streaming.app import serve  # takes a second, which the engine's process uses

        return serve(config)
    finally:
        abandon_ahead()


def _play(options: argparse.Namespace) -> int:
    from streaming.transports import device

    try:
        if options.list_devices:
            tell(device.list_devices())
            return 0
        late = device.play(_live_blocks(options), lead_blocks=PLAY_LEAD_BLOCKS)
    except KeyboardInterrupt:
        return 0
    if late:
        note(f"{late} blocks of 20 ms came too late; is the machine busy?")
    return 0


def _live_blocks(options: argparse.Namespace) -> Any:
    from engine.backends import open_generator
    from engine.render import begin, perform, take_ending_at
    from engine.take import Take

    opening, seed = _opening(options)
    take, num_frames = Take(opening, seed), None
    if options.seconds is not None:
        num_frames = _num_frames(options.seconds)
        take = take_ending_at(num_frames, "cadence", opening, seed)
    with _starting() as has_begun:
        performance = begin(open_generator(_engine_config(options)), take)
        for block in perform(performance, num_frames, performance.forget):
            has_begun()
            yield block


def _render(options: argparse.Namespace) -> int:
    if options.lufs is not None and not LOWEST_LUFS <= options.lufs <= HIGHEST_LUFS:
        raise UsageError(f"--lufs is {options.lufs:g}; allowed is {LOWEST_LUFS:g} … {HIGHEST_LUFS:g}")
    from streaming.export import RenderJob, export
    from streaming.files.errors import UnknownFormat

    with _naming_take(options):
        if options.take is None:
            from engine.render import take_ending_at

            opening, seed = _opening(options)
            num_frames = _num_frames(_length_s(options, opening))
            take = take_ending_at(num_frames, options.ending or "cadence", opening, seed)
        else:
            take = _read_take(options)
            num_frames = _take_frames(take, options)
        job = RenderJob(take, num_frames, options.out, options.lufs, _engine_config(options))
        try:
            report = _with_progress(num_frames, lambda on_progress: export(job, on_progress))
        except UnknownFormat as error:
            raise UsageError(error) from error
    if options.json:
        tell(json.dumps(report))
    else:
        loudness = report["loudness"]
        level = "silence" if loudness["lufs"] is None else f"{loudness['lufs']:.1f} LUFS"
        tell(
            f"{printable(report['out'])}: {report['seconds']:g} s, {report['key']}, {report['bpm']:g} bpm, {level}, "
            f"seed {take.seed}, made in {report['wall_seconds']:.1f} s"
        )
    return 0


@contextmanager
def _naming_take(options: argparse.Namespace) -> Iterator[None]:
    """Say of which file a bad take is."""
    from engine.errors import BadTake

    try:
        yield
    except BadTake as error:
        raise Failure(f"{options.take}: {error}") from error


def _read_take(options: argparse.Namespace) -> Take:
    """The take that `--take` names. Raises `BadTake`, and `UsageError` where other words say what is to be played."""
    from engine.device import choose_device
    from engine.take import read_take

    others = [name for name in ("mood", *MOOD_FIELDS, "seed", "ending") if getattr(options, name) is not None]
    if others:
        words = ", ".join("MOOD" if name == "mood" else f"--{name}" for name in others)
        raise UsageError(f"{words} and --take are both given; a take says itself what is played")
    take = read_take(options.take.read_bytes())
    assert take.header is not None, "it was read from a file"
    if (device := choose_device(options.device or "auto")) != take.header.device:
        note(f"{options.take} was made on {take.header.device}; {device} rounds otherwise: samples may differ a little")
    return take


def _take_frames(take: Take, options: argparse.Namespace) -> int:
    """How much of a take is rendered."""
    from engine.audio import SAMPLE_RATE
    from engine.render import length_of

    if options.seconds is not None:
        return _num_frames(options.seconds)
    most_frames = round(LONGEST_S * SAMPLE_RATE)
    num_frames = length_of(take, most_frames)
    if num_frames > most_frames:
        raise UsageError(f"the take is longer than {LONGEST_S:g} s; say with --seconds how much of it is rendered")
    return num_frames


def _with_progress(num_frames: int, work: Callable[[Callable[[int], None]], dict[str, Any]]) -> dict[str, Any]:
    with _starting() as has_begun:
        if not sys.stderr.isatty():
            return work(lambda frames: has_begun())
        from rich.console import Console
        from rich.progress import Progress

        progress = Progress(console=Console(stderr=True), transient=True)
        task = progress.add_task("composing", total=num_frames)

        def on_progress(frames: int) -> None:
            has_begun()
            progress.start()  # not before: until then the line belongs to the notice
            progress.update(task, completed=frames)

        try:
            return work(on_progress)
        finally:
            progress.stop()


def _moods(options: argparse.Namespace) -> int:
    if options.explain is not None:
        from moods.prompt import resolve_prompt
        from streaming.messages import explained

        prompt = resolve_prompt(options.explain)
        if options.strict and not prompt.is_understood:
            raise NotUnderstood(options.explain)
        meaning = explained(prompt)
        if options.json:
            tell(json.dumps(meaning))
        else:
            tell("\n".join(f"{name:11} {printable(_words(value))}" for name, value in meaning.items()))
        return 0
    from moods.listing import listing
    from moods.mood import list_moods, styles
    from moods.stinger import list_stingers

    if options.json:
        tell(json.dumps(listing()))
        return 0
    lines = [f"{'mood':14} valence  energy tension  styles"]
    for mood in list_moods():
        point = mood.to_dict()
        numbers = f"{mood.valence:8.2f}{mood.energy:8.2f}{mood.tension:8.2f}"
        lines.append(f"{mood.name:13} {numbers}  {_words(point['style'])} · {mood.name_zh}")
    lines += ["", "styles: " + ", ".join(f"{style.name} {style.name_zh}" for style in styles())]
    lines.append("stingers: " + ", ".join(f"{stinger.name} {stinger.name_zh}" for stinger in list_stingers()))
    tell("\n".join(lines))
    return 0


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(weight)}" for name, weight in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _warm(options: argparse.Namespace) -> int:
    import time

    begun_s = time.monotonic()
    with _starting():
        from engine.backends import open_generator
        from engine.code_cache import kept_in
        from engine.config import EngineConfig
        from streaming.engines.process import warm_up

        warm_up(open_generator(EngineConfig(max_slots=1)))
        folder = kept_in()
        if folder is None:
            raise Failure("compiled code cannot be kept for later starts; set NUMBA_CACHE_DIR to a folder of your own")
    num_bytes = sum(file.stat().st_size for file in folder.glob("*.code"))
    seconds = round(time.monotonic() - begun_s, 2)
    if options.json:
        tell(json.dumps({"folder": str(folder), "bytes": num_bytes, "wall_seconds": seconds}))
    else:
        tell(f"compiled code lies in {printable(str(folder))}: {num_bytes / 1e6:.1f} MB, ready in {seconds:.1f} s")
    return 0


def _models(options: argparse.Namespace) -> int:
    from engine.errors import BadCheckpoint
    from engine.weights import MANIFEST_NAME, read_manifest, shipped_checkpoint, verify_checkpoint

    named = options.file or shipped_checkpoint()
    folder = named.parent if named.is_file() else named
    manifest = read_manifest(folder) if options.action == "list" else verify_checkpoint(folder)
    if named.is_file() and named.name not in (MANIFEST_NAME, manifest["file"]):
        raise BadCheckpoint(named, f"{manifest['file']}, which the manifest beside it names", "another file")
    if options.json:
        tell(json.dumps({"models": [manifest]} if options.action == "list" else {"verified": True, **manifest}))
        return 0
    state = "" if options.action == "list" else "as the manifest says: "
    size = f"{manifest['parameters'] / 1e6:.1f} M parameters, {manifest['bytes'] / 1e6:.1f} MB"
    tell(f"{printable(str(folder / manifest['file']))}: {state}{size}, sha256 {manifest['sha256']}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    root = Path(__file__).resolve().parents[1]
    files = (root / "benchmarks").glob("[a-z]*.py")
    names = sorted(path.stem for path in files if "\ndef main(" in path.read_text(encoding="utf-8"))
    if not names:
        raise Failure("the benchmarks are not part of the installed package; run this in a checkout of the source")
    if options.name is None:
        tell("\n".join(names))
        return 0
    if options.name not in names:
        raise UsageError(f"unknown benchmark {options.name!r}; known: {', '.join(names)}")
    if missing := [name for name in ("httpx", "psutil") if find_spec(name) is None]:
        raise Failure(f"a benchmark needs {' and '.join(missing)}, of the extra dev: make bench NAME={options.name}")
    command = child_command(f"benchmarks.{options.name}:main")
    return subprocess.run(command, cwd=root, env=child_environment()).returncode


def _opening(options: argparse.Namespace) -> tuple[Any, int]:
    """The opening that the mood options ask for, and its seed: the one given or a fresh one."""
    from moods.mood import DEFAULT_MOOD, find_mood
    from moods.opening import parse_opening

    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    fields: dict[str, Any] = {"seed": seed}
    if options.mood is not None:
        try:
            find_mood(options.mood)
            fields["mood"] = options.mood
        except UnknownMood:
            fields |= {"prompt": options.mood} | ({"strict": True} if options.strict else {})
    fields |= {name: value for name in MOOD_FIELDS if (value := getattr(options, name)) is not None}
    opening = parse_opening(fields)
    if (prompt := opening.understood) is not None and not prompt.is_understood:
        note(f"nothing of {shown(prompt.text)} was understood; this is the mood {DEFAULT_MOOD}")
    elif prompt is not None and prompt.unknown:
        note(f"not understood: {', '.join(prompt.unknown)}")
    return opening, seed


def _length_s(options: argparse.Namespace, opening: Any) -> float:
    """What `--seconds` says, or else the prompt; 30 where neither does."""
    if options.seconds is not None:
        return float(options.seconds)
    prompt = opening.understood
    return DEFAULT_S if prompt is None or prompt.seconds is None else prompt.seconds


def _num_frames(seconds: float) -> int:
    from engine.audio import SAMPLE_RATE

    if not 1.0 <= seconds <= LONGEST_S:
        raise UsageError(f"--seconds is {seconds:g}; allowed is 1 … {LONGEST_S:g}")
    return round(seconds * SAMPLE_RATE)


def _engine_config(options: argparse.Namespace) -> Any:
    from engine.config import EngineConfig

    return EngineConfig(backend=options.backend or "score", device=options.device or "auto", max_slots=1)


if __name__ == "__main__":
    sys.exit(main())
