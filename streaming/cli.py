"""The `undersong` command. In: words; out: an exit status, one line on stderr for an error, JSON on stdout if asked.

Exit 0: done; 2: usage error; 1: it failed. Each command imports what it needs when it runs, so that
`--help` and `moods` answer at once.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from engine.errors import EngineError
from moods.errors import MoodsError, NotUnderstood
from streaming.bake_command import add_bake
from streaming.command import (
    CommandParser,
    Failure,
    UsageError,
    add_engine_options,
    add_mood_options,
    engine_config,
    num_frames_of,
    opening_of,
    starting,
    typed_text,
)
from streaming.errors import BadConfig, StreamingError
from streaming.journal import LOG_LEVELS
from streaming.render_command import add_render
from streaming.terminal import note, prepare_streams, printable, tell
from streaming.token_command import add_token
from undersong_launch import child_command, child_environment

_PLAY_LEAD_BLOCKS = 15  # 300 ms: composing a bar on a busy machine fits in


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


def _complain(error: object, status: int) -> int:
    note(error)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="undersong", description="Endless background music that follows a mood.")
    parser.add_argument("--version", action=_Version, nargs=0, help="name the version, and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)

    serve = commands.add_parser("serve", help="the server and its studio page")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, help="default 8400")
    serve.add_argument("--engines", type=_engines, metavar="auto|N", help="engine processes (default auto: one a core)")
    serve.add_argument("--public-url", metavar="URL", help="where clients find it, behind a proxy")
    serve.add_argument("--tls-cert", metavar="FILE", help="speak https and wss, under this certificate in PEM")
    serve.add_argument("--tls-key", metavar="FILE", help="its key in PEM")
    serve.add_argument("--log-level", choices=LOG_LEVELS, help="the least worth a line on stderr (default info)")
    serve.add_argument("--log-json", action="store_true", default=None, help="log JSON, an object a line")
    serve.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; options given here win")
    serve.add_argument("--print-config", action="store_true", help="write the settings as a commented file, and leave")
    serve.add_argument("--check-config", action="store_true", help="say what is wrong with the settings, and leave")
    add_engine_options(serve)
    serve.set_defaults(run=_serve)

    play = commands.add_parser("play", help="music on this machine's loudspeaker, until Ctrl-C")
    add_mood_options(play)
    play.add_argument("--seconds", type=float, metavar="S", help="end after so many seconds, with a cadence")
    play.add_argument("--list-devices", action="store_true", help="name the devices that can play, and leave")
    add_engine_options(play)
    play.set_defaults(run=_play)

    add_render(commands)
    add_bake(commands)
    add_token(commands)

    moods = commands.add_parser("moods", help="the moods and styles, or what a prompt is taken to mean")
    moods.add_argument("--explain", type=typed_text, metavar="PROMPT", help="how a free text is understood")
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


def _serve(options: argparse.Namespace) -> int:
    from streaming.config import Config
    from streaming.settings import load_config

    given = {name: value for name in Config.model_fields if (value := getattr(options, name, None)) is not None}
    if options.check_config:
        return _check_config(options.config, given)
    config = load_config(options.config, given)
    if options.print_config:
        tell(config.to_toml().rstrip("\n"))
        return 0
    from streaming.engines.local import abandon_ahead, start_ahead

    try:
        start_ahead(config)
        from streaming.server import serve  # takes a second, which the engine's process uses

        return serve(config)
    finally:
        abandon_ahead()


def _check_config(path: Path | None, given: dict[str, Any]) -> int:
    """Say all that is wrong with the settings, and with the files that they name, a line each."""
    from streaming.settings import load_config, strange_variables
    from streaming.tls import server_context
    from streaming.tokens import check_secret

    wrong: list[object] = list(strange_variables())
    try:
        config = load_config(path, given)
        check_secret(config)
        if config.tls_cert:
            server_context(Path(config.tls_cert), Path(config.tls_key))
        if config.soundfont:
            # All that would be played, which takes too long for every start of a process.
            from engine.synth.patching.tables import SHIPPED, load_tables

            load_tables(SHIPPED, soundfont=Path(config.soundfont))
    except BadConfig as error:
        wrong = [error, *error.others, *wrong]
    except EngineError as error:
        wrong = [error, *wrong]
    for each in wrong:
        note(each)
    return 2 if wrong else 0


def _play(options: argparse.Namespace) -> int:
    from streaming.transports import device

    try:
        if options.list_devices:
            tell(device.list_devices())
            return 0
        late = device.play(_live_blocks(options), lead_blocks=_PLAY_LEAD_BLOCKS)
    except KeyboardInterrupt:
        return 0
    if late:
        note(f"{late} blocks of 20 ms came too late; is the machine busy?")
    return 0


def _live_blocks(options: argparse.Namespace) -> Any:
    from engine.backends import open_generator
    from engine.render import begin, perform, take_ending_at
    from engine.take import Take

    opening, seed = opening_of(options)
    take, num_frames = Take(opening, seed), None
    if options.seconds is not None:
        num_frames = num_frames_of(options.seconds)
        take = take_ending_at(num_frames, "cadence", opening, seed)
    with starting() as has_begun:
        performance = begin(open_generator(engine_config(options)), take)
        for block in perform(performance, num_frames, performance.forget):
            has_begun()
            yield block


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
    with starting():
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


if __name__ == "__main__":
    sys.exit(main())
