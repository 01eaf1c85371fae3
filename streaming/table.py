"""What every table of the settings is: checked, frozen, and without secrets. Remembers secrets; any thread."""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from moods.errors import shown
from streaming.errors import BadConfig


class Table(BaseModel):
    """One table of undersong.toml, or all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def read_secret(file: str, setting: str) -> str:
    """The first line of a file that a setting names, so that no secret stands in the settings. Raises `BadConfig`."""
    try:
        first, *_ = Path(file).read_text(encoding="utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{setting} is {shown(file, 200)}, which cannot be read: {error}", field=setting) from None
    if not first.strip():
        raise BadConfig(f"{setting} is {shown(file, 200)}, whose first line is empty", field=setting)
    return first.strip()


kept_secret = functools.cache(read_secret)
"""The same as it was read first, for the event loop, which waits for no disk."""
