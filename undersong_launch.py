"""How the command and every child process begin: with our own packages. In: words; out: an exit status.

`engine`, `moods` and `streaming` are names that others use too, and a file in the working folder may have any name. So
each process begins here, under a name of its own, with the working folder taken out of where Python looks for modules,
and with a look at the three packages before the first of them is imported. Uses the standard library alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("engine", "moods", "streaming")
SIGNATURE = "Undersong"
"""Stands in the docstring of each of our packages."""

ROOT = os.path.dirname(os.path.abspath(__file__))
STANDARD_LIBRARY = os.path.dirname(os.__file__)


def _is_same_folder(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # not there, or not for us to enter
        return False


def module_path() -> list[str]:
    """`sys.path` without the working folder before the standard library, and with the folder of our packages."""
    libraries = [number for number, entry in enumerate(sys.path) if _is_same_folder(entry, STANDARD_LIBRARY)]
    given, installed = sys.path[: libraries[0]], sys.path[libraries[0] :]
    kept = [entry for entry in given if entry and not _is_same_folder(entry, os.curdir)] + installed
    return kept if any(_is_same_folder(entry, ROOT) for entry in kept) else [ROOT, *kept]


def child_command(function: str, *words: str) -> list[str]:
    """The command that calls `function`, "module:name", with `words` in another process of ours."""
    return [sys.executable, "-P", os.path.abspath(__file__), function, *words]


def child_environment() -> dict[str, str]:
    """The environment of a child: it finds the modules that we find, whatever lies in the working folder."""
    findable = [entry for entry in module_path() if os.pathsep not in entry]  # our own folder is found without
    return os.environ | {"PYTHONPATH": os.pathsep.join(findable)}


def _is_ours(file: str) -> bool:
    return os.path.basename(file) == "__init__.py" and SIGNATURE in Path(file).read_text("utf-8", "replace")


def _strangers() -> Iterator[str]:
    """Say of each of our packages that is not ours what Python finds in its place."""
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            yield f"its package {name!r} is not installed whole"
        elif not _is_ours(spec.origin):
            yield f"another package named {name!r} lies in the way, {spec.origin}"


def _look_around() -> None:
    """Leave the working folder out; end the process with one line where one of our packages is somebody else's."""
    sys.path[:] = module_path()
    if strangers := "; ".join(_strangers()):
        way_out = "install undersong in an environment of its own: pipx install undersong, or uv tool install undersong"
        print(f"undersong: {strangers}; {way_out}", file=sys.stderr)
        sys.exit(1)


def command() -> int:
    """The `undersong` command."""
    _look_around()
    return import_module("streaming.cli").main()


def child(function: str, *words: str) -> int | None:
    _look_around()
    module, _, name = function.partition(":")
    sys.argv[:] = [function, *words]  # whoever reads the command's words finds the function's own
    return getattr(import_module(module), name)(*words)


if __name__ == "__main__":
    sys.exit(child(*sys.argv[1:]))
