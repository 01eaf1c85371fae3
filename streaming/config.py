"""The server's settings. In: undersong.toml and overrides; out: `Config`. Remembers nothing; any thread."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.errors import BadConfig

# field: (lowest, highest)
_RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "max_stations": (1, 1000),
    "max_sessions": (1, 100_000),
    "lead_ms": (10, 2000),
    "idle_close_s": (0, 86_400),
    "setup_timeout_s": (0.1, 300),
    "snapshot_s": (0.1, 3600),
    "hang_s": (0.2, 600),
    "opus_bit_rate": (32_000, 510_000),
}


@dataclass(frozen=True)
class Config:
    """Settings of one server; every field can be given in undersong.toml under its own name."""

    host: str = "127.0.0.1"
    port: int = 8400
    """0 lets the system choose."""
    device: str = "auto"
    backend: str = "score"
    max_stations: int = 16
    max_sessions: int = 256
    lead_ms: float = 17.0
    """How long before its place in the stream a block is made: less is quicker to the hand, more is safer."""
    idle_close_s: float = 300.0
    """A station without listeners and clients is closed after this; 0 keeps it."""
    setup_timeout_s: float = 10.0
    """A WebRTC peer that has not connected by then is dropped."""
    snapshot_s: float = 5.0
    """How often each station's state is kept for the recovery of the engine."""
    hang_s: float = 1.0
    """An engine that is silent for this long is taken for dead."""
    opus_bit_rate: int = 160_000
    ice_servers: tuple[str, ...] = ()
    """STUN or TURN addresses; none by default, so that no third party learns of a listener."""
    patches: str = ""
    """A folder of patch files beside the shipped ones; see docs/sound.md."""
    generator: str = "engine.backends:open_generator"
    """`module:function` that makes the engine process's generator from an `engine.config.EngineConfig`."""

    def __post_init__(self) -> None:
        for name in ("host", "device", "backend", "patches", "generator"):
            if not isinstance(getattr(self, name), str):
                raise BadConfig(f"{name} is {getattr(self, name)!r}; a text is expected", field=name)
        if not re.fullmatch(r"[^:]+:[^:]+", self.generator):
            raise BadConfig(f"generator is {self.generator!r}; expected module:function", field="generator")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            whole = isinstance(getattr(Config, name), int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise BadConfig(f"{name} is {value!r}; a {'whole ' if whole else ''}number is expected", field=name)
            if not low <= value <= high:
                raise BadConfig(f"{name} is {value!r}; allowed is {low:g} … {high:g}", field=name)
        if not isinstance(self.ice_servers, list | tuple):
            raise BadConfig(f"ice_servers is {self.ice_servers!r}; a list is expected", field="ice_servers")
        object.__setattr__(self, "ice_servers", tuple(self.ice_servers))
        for url in self.ice_servers:
            if not isinstance(url, str) or not url.startswith(("stun:", "turn:", "turns:")):
                raise BadConfig(f"ice_servers holds {url!r}; an address begins with stun:, turn: or turns:")


def load_config(path: Path | None = None, given: Mapping[str, Any] | None = None) -> Config:
    """Read `path`, or undersong.toml of the working directory where there is one; the settings in `given` win.

    Raises `BadConfig` with the file, the field, its value and what is allowed.
    """
    values: dict[str, Any] = {}
    source = path or Path("undersong.toml")
    if path is not None or source.is_file():
        try:
            values = tomllib.loads(source.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadConfig(f"{source} cannot be read: {error}") from error
    names = [field.name for field in dataclasses.fields(Config)]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=2, cutoff=0.4) or names
            raise BadConfig(f"{source}: unknown setting {name!r}; nearest: {', '.join(near)}", field=name)
    return Config(**values | dict(given or {}))
