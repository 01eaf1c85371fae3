"""Where the settings come from: undersong.toml, the environment, the command line; the later of these win.

In: a file's path, variables, options; out: a `Config`, or all that is wrong. Remembers nothing; any thread.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from engine.config import SPARE_CODE_FOLDER
from moods.errors import shown
from moods.names import nearest
from streaming.config import Config
from streaming.errors import BadConfig

PREFIX = "UNDERSONG_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
"""Names the file where --config does not."""
_OF_OTHERS = frozenset({FILE_VARIABLE, SPARE_CODE_FOLDER})
_DEFAULT_FILE = Path("undersong.toml")


def load_config(
    path: Path | None = None, given: Mapping[str, Any] | None = None, environment: Mapping[str, str] = os.environ
) -> Config:
    """Read the file `path`, that of UNDERSONG_CONFIG, or undersong.toml of the working folder where there is one.

    A variable of the environment takes the place of a setting in the file, what is `given` that of both. Raises
    `BadConfig` with the file or the variable, the field, its value and what is allowed, and `others` like it.
    """
    source, text = _read(path or (Path(named) if (named := environment.get(FILE_VARIABLE)) else None))
    values = _parse(source, text)
    variables = dict(_settings_in(environment))
    for loc, (_, value) in variables.items():
        _put(values, loc, value)
    values |= given or {}
    try:
        return Config(**values)
    except BadConfig as error:
        by_given = frozenset(given or {})
        first, *others = [_placed(each, source, text, variables, by_given) for each in (error, *error.others)]
        first.others = tuple(others)
        raise first from None


def setting_variables() -> list[str]:
    """The variables that take the place of settings."""
    return [variable for variable, _, _ in _variables(Config, ())]


def strange_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What is said of variables that look like settings and are none."""
    known = setting_variables()
    strange = [name for name in sorted(environment) if name.startswith(PREFIX) and name not in {*known, *_OF_OTHERS}]
    return [f"{name} is no setting; {f'nearest: {near[0]}' if (near := nearest(name, known, 1)) else 'remove it'}"
            for name in strange]  # fmt: skip


# --- the file --------------------------------------------------------------------------------------------------------


def _read(path: Path | None) -> tuple[Path, str]:
    source = path or _DEFAULT_FILE
    if path is None and not _is_there(source):
        return source, ""
    try:
        return source, source.read_text(encoding="utf-8-sig")  # editors of Windows begin with a mark
    except UnicodeDecodeError as error:
        raise BadConfig(f"{source} is not UTF-8: {error.reason}; save it as UTF-8") from error
    except OSError as error:
        raise BadConfig(f"{source} cannot be read: {error}") from error


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a working folder that is not ours to look into
        return False


def _parse(source: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{source} cannot be read: {error}") from error


def _line_of(loc: tuple[int | str, ...], text: str) -> int | None:
    """The line that a setting begins at: where the file, cut off behind it, holds the setting for the first time."""
    lines, begin = text.splitlines(), 1
    for number in range(1, len(lines) + 1):
        try:
            values = tomllib.loads("\n".join(lines[:number]) + "\n")
        except tomllib.TOMLDecodeError:  # within a value of several lines
            continue
        if _holds(values, loc):
            return begin
        begin = number + 1
    return None


def _holds(values: Any, loc: tuple[int | str, ...]) -> bool:
    for part in loc:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _placed(
    error: BadConfig,
    source: Path,
    text: str,
    variables: Mapping[tuple[str, ...], tuple[str, Any]],
    given: frozenset[str],
) -> BadConfig:
    """The same, with where it was set."""
    where = ""
    if error.loc and error.loc[0] not in given:
        names = [name for loc, (name, _) in variables.items() if loc == error.loc[: len(loc)]]
        line = None if names else next((found for end in range(len(error.loc), 0, -1)
                                        if (found := _line_of(error.loc[:end], text))), None)  # fmt: skip
        where = f"{names[0]}: " if names else f"{source}, line {line}: " if line else f"{source}: " if text else ""
    placed = BadConfig(f"{where}{error}", **error.members)
    placed.loc = error.loc
    return placed


# --- the environment -------------------------------------------------------------------------------------------------


def _variables(model: type[BaseModel], loc: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """Of each setting the variable, its way through the tables, and its type."""
    for name, field in model.model_fields.items():
        own = (*loc, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, own)
        else:
            yield PREFIX + "__".join(own).upper(), own, field.annotation


def _settings_in(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], tuple[str, Any]]]:
    for variable, loc, annotation in _variables(Config, ()):
        if variable in environment:
            yield loc, (variable, _value_of(environment[variable], annotation))


def _value_of(text: str, annotation: object) -> Any:
    """A text stands as it is; what else there is is written as in the file."""
    is_text = annotation is str or (get_origin(annotation) is Literal and str in map(type, get_args(annotation)))
    try:
        return text if is_text else tomllib.loads(f"value = {text}\n")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text  # what may stand there says the setting itself


def _put(values: dict[str, Any], loc: tuple[str, ...], value: Any) -> None:
    for part in loc[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise BadConfig(f"{part} is {shown(inner)}; a table is expected", field=part)
        values = inner
    values[loc[-1]] = value
