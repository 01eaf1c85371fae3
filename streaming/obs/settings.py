"""Settings of OBS. In: the table [obs]; out: checked, its orders read. Any thread."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from moods.errors import MoodsError, shown
from streaming.errors import BadConfig
from streaming.orders import Order, read_order, same_name
from streaming.table import Table, read_secret

_OBS_URL = re.compile(r"wss?://[^\s/?#@]+(?:/[A-Za-z0-9._~/-]*)?")


class ObsOrders(NamedTuple):
    """What happens in OBS, and what is asked of the station then; scenes by name."""

    scenes: dict[str, Order]
    stream_started: Order | None
    stream_stopped: Order | None


class Obs(Table):
    """OBS Studio, whose scenes and microphones steer a station where its address is set; see docs/obs.md."""

    url: str = ""
    """Where OBS' WebSocket server is found, such as "ws://127.0.0.1:4455"; none by default."""
    password: str = ""
    """The password of that server, which a file keeps better."""
    password_file: str = ""
    """A file that holds it."""
    station: str = "main"
    """The name or id of the station that is steered."""
    scenes: dict[str, Any] = {}
    """What is asked for when a scene begins, by its name: mood fields and controls, such as
    "Starting" = { mood = "focus", countdown = 300 }."""
    stream_started: dict[str, Any] = {}
    """The same when the stream has started."""
    stream_stopped: dict[str, Any] = {}
    """And when it has stopped."""
    microphone: tuple[str, ...] = ()
    """Audio sources under whose voices the music is lowered, such as "Mic/Aux"; one or several."""
    threshold_db: float = Field(-35.0, ge=-60, le=0)
    """The peak level, dBFS behind the source's fader, from which on somebody speaks."""
    depth_db: float = Field(-9.0, ge=-60, le=0)
    """How much lower the music is then."""
    attack_s: float = Field(0.15, ge=0, le=10)
    """How long it takes to get there."""
    hold_s: float = Field(0.8, ge=0.1, le=30)
    """How long nobody has to have spoken before it comes back."""
    release_s: float = Field(1.0, ge=0, le=30)
    """How long that takes."""

    @field_validator("url")
    @classmethod
    def _is_socket(cls, url: str) -> str:
        if url and not _OBS_URL.fullmatch(url):
            raise BadConfig(f"obs.url is {shown(url)}; expected for example ws://127.0.0.1:4455", field="obs")
        return url

    @field_validator("microphone", mode="before")
    @classmethod
    def _are_names(cls, names: object) -> object:
        names = (names,) if isinstance(names, str) else names
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise BadConfig(f'obs.microphone is {shown(names)}; expected for example "Mic/Aux"', field="obs")
        return tuple(name for name in names if name)

    @model_validator(mode="after")
    def _orders_can_be_read(self) -> Obs:
        _ = self.orders
        return self

    @property
    def orders(self) -> ObsOrders:
        """What the tables ask for. Raises `BadConfig`."""

        def read(table: dict[str, Any], where: str) -> Order | None:
            try:
                return read_order(table, f"obs.{where}") if table else None
            except MoodsError as error:
                raise BadConfig(str(error), field="obs") from None

        scenes = {same_name(name): read(table, f"scenes.{name}") for name, table in self.scenes.items()}
        return ObsOrders(
            {name: order for name, order in scenes.items() if order is not None},
            read(self.stream_started, "stream_started"),
            read(self.stream_stopped, "stream_stopped"),
        )

    @property
    def secret(self) -> str:
        """The password. Reads a file, anew each time; raises `BadConfig`."""
        return read_secret(self.password_file, "obs.password_file") if self.password_file else self.password
