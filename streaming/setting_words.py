"""Settings in words: the file to be edited, and what is wrong with one. In: a table; out: text. Any thread."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from moods.errors import shown
from moods.names import nearest

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "bool": "true or false",
    "model": "a table",
}
_MATCHES = {
    r"^[ -~]*$": "printable ASCII",
    r"^[!-~]*$": "printable ASCII without blanks",
    r"^[!-~]+$": "printable ASCII without blanks",
    r"^[^:]+:[^:]+$": "module:function",
}
_SECRETS = frozenset({"password", "token", "credential", "webhook_secret", "lyria_keys"})
"""What is wrong with these is told without them: it may go to a log."""


def settings_file(settings: BaseModel) -> str:
    """The settings as a file to be edited: each under what it means and may be."""
    values = settings.model_dump(mode="json", exclude_none=True)
    tables = {name: value for name in values if isinstance(value := getattr(settings, name), BaseModel)}
    text = [_setting(name, values[name], type(settings)) for name in values if name not in tables]
    for name, table in tables.items():
        text.append(f"{_comment(name, type(settings))}[{name}]\n")
        text += [_setting(each, values[name][each], type(table)) for each in values[name]]
    return "\n".join(text)


def complaint(row: ErrorDetails, settings: type[BaseModel]) -> str:
    """What is wrong with one of the `settings`, its value, and what is allowed."""
    loc = row["loc"]
    key, model = ".".join(map(str, loc)), _table_at(loc, settings)
    if row["type"] == "extra_forbidden":
        return f"unknown setting {shown(key)}; {_nearest(str(loc[-1]), model)}"
    if row["type"] == "missing":
        return f"{key} is missing"
    expected = _EXPECTED.get(row["type"].split("_")[0])
    range_ = _range_of(str(loc[-1]), model)
    if row["type"].endswith(("_type", "_from_float")) and expected:
        way_out = f"{expected} is expected"
    elif range_:
        way_out = f"allowed is {range_}"
    elif row["type"] == "string_pattern_mismatch":
        pattern = row["ctx"]["pattern"]
        way_out = f"expected {_MATCHES.get(pattern, f'what matches {pattern}')}"
    else:
        way_out = row["msg"][:1].lower() + row["msg"][1:]
    value = "…" if _SECRETS.intersection(loc) else shown(row["input"])
    return f"{key} is {value}; {way_out}"


def _table_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> type[BaseModel]:
    """The table that a setting stands in."""
    for part in loc[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _table_of(model.model_fields[part].annotation) or model
    return model


def _table_of(annotation: object) -> type[BaseModel] | None:
    """The model of a field that is a table, or holds tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for each in get_args(annotation) if (table := _table_of(each))), None)


def _nearest(name: str, model: type[BaseModel]) -> str:
    near = nearest(name, model.model_fields, 2)
    return f"nearest: {', '.join(near)}" if near else f"known: {', '.join(model.model_fields)}"


def _setting(name: str, value: object, model: type[BaseModel]) -> str:
    return f"{_comment(name, model)}{name} = {_toml(value)}\n"


def _comment(name: str, model: type[BaseModel]) -> str:
    described = " ".join(str(model.model_fields[name].description).split())
    range_ = _range_of(name, model)
    lines = textwrap.wrap(f"{described}{f' Allowed: {range_}.' if range_ else ''}", 110)
    return "".join(f"# {line}\n" for line in lines)


def _range_of(name: str, model: type[BaseModel]) -> str:
    """What a setting may be, in words; empty where anything of its kind may."""
    field = model.model_fields.get(name)
    if field is None:
        return ""
    bounds = {kind: getattr(each, kind) for each in field.metadata for kind in ("ge", "le") if hasattr(each, kind)}
    if bounds:
        return "{ge:.12g} … {le:.12g}".format(**bounds)
    return ", ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""


def _toml(value: Any) -> str:
    """A setting's value as TOML; basic strings have JSON's escapes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml_key(key)} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)
