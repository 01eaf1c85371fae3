"""OBS at the door: its scenes, streams and microphones steer a station. In: events of OBS; out: orders.

Remembers the scene that was acted on last, also while OBS is away, and whether music has stepped back for a voice.
Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

from streaming.conductor import Conductor
from streaming.doors import DoorState
from streaming.errors import BadConfig
from streaming.hand import Hand
from streaming.obs.connection import (
    Event,
    ObsConnection,
    ObsEnded,
    ObsRefuses,
    ObsUnavailable,
    Subscription,
    open_obs,
)
from streaming.obs.ducking import Ducking, Step
from streaming.orders import Order, same_name
from streaming.retrying import retrying

log = logging.getLogger(__name__)

_REFUSED_S = 30.0
"""So long OBS is left alone when somebody has to change a setting first."""
_FAINTEST = 1e-6


class ObsDoor:
    """Follows OBS while entered, if its address is set: `async with ObsDoor(conductor)`."""

    name = "obs"

    def __init__(self, conductor: Conductor) -> None:
        self._conductor, self._config = conductor, conductor.config.obs
        self.state = DoorState(self.name, conductor.metrics)
        self._hand = Hand(conductor, self._config.station, by=self.name)
        self._orders = self._config.orders
        self._scene: str | None = None
        self._microphones = {same_name(name) for name in self._config.microphone}
        self._ducking = Ducking(
            threshold_db=self._config.threshold_db,
            depth_db=self._config.depth_db,
            attack_s=self._config.attack_s,
            hold_s=self._config.hold_s,
            release_s=self._config.release_s,
        )
        self._release: asyncio.TimerHandle | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._config.url:
            await self._stack.enter_async_context(self._hand)
            self._stack.callback(asyncio.create_task(self._run()).cancel)
            self._conductor.doors.append(self)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._release is not None:
            self._release.cancel()
        await self._stack.aclose()

    async def _run(self) -> None:
        subscriptions = Subscription.SCENES | Subscription.OUTPUTS
        if self._microphones:
            subscriptions |= Subscription.VOLUME_METERS
        async for attempt in retrying():
            try:
                password = await asyncio.to_thread(lambda: self._config.secret)
                async with open_obs(self._config.url, password, subscriptions) as obs:
                    attempt.has_worked = True
                    self.state.connected()
                    await self._follow(obs)
            except ObsEnded as error:
                self.state.refused(error)
                return
            except (ObsRefuses, BadConfig) as error:
                self.state.refused(error)
                attempt.least_wait_s = _REFUSED_S
            except ObsUnavailable as error:
                self.state.waiting(error)
            except Exception as error:  # a fault of ours in one event is no reason to follow no other
                log.exception("an event of OBS failed")
                self.state.waiting(error)

    async def _follow(self, obs: ObsConnection) -> None:
        self._be_in(_scene_in(await obs.request("GetCurrentProgramScene")))
        async for event in obs.events():
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Event("CurrentProgramSceneChanged", fields):
                self._go_to(_scene_in(fields))
            case Event("StreamStateChanged", {"outputState": "OBS_WEBSOCKET_OUTPUT_STARTED"}):
                self._give(self._orders.stream_started)
            case Event("StreamStateChanged", {"outputState": "OBS_WEBSOCKET_OUTPUT_STOPPED"}):
                self._give(self._orders.stream_stopped)
            case Event("InputVolumeMeters", {"inputs": list(inputs)}):
                self._hear(inputs)

    def _give(self, order: Order | None) -> None:
        if order is not None and order.controls:
            self._hand.give(order)

    # --- scenes ------------------------------------------------------------------------------------------------------

    def _go_to(self, scene: str | None) -> None:
        """A scene begins, and with it all that is asked for there."""
        if scene is not None and scene != self._scene:
            self._scene = scene
            self._give(self._orders.scenes.get(scene))

    def _be_in(self, scene: str | None) -> None:
        """OBS is met in this scene, which began some time ago: what happens once has happened."""
        if scene is not None and scene != self._scene:
            self._scene, order = scene, self._orders.scenes.get(scene)
            self._give(None if order is None else order.lasting)

    # --- microphones -------------------------------------------------------------------------------------------------

    def _hear(self, inputs: list[Any]) -> None:
        peaks = [_peak(each) for each in inputs if _name_of(each) in self._microphones]
        level_db = 20 * math.log10(max([_FAINTEST, *peaks]))
        self._move(self._ducking.hear(level_db, time.monotonic()))

    def _look(self) -> None:
        self._release = None
        self._move(self._ducking.look(time.monotonic()))

    def _move(self, step: Step | None) -> None:
        """Do what the envelope asks, and look again when it may ask for more: whether OBS tells any level or not."""
        if step is not None:
            self._hand.ask({"type": "duck", "gain_db": step.gain_db, "over": step.over_s})
        due_s = self._ducking.due_s
        if due_s is not None and self._release is None:
            wait_s = max(0.0, due_s - time.monotonic())
            self._release = asyncio.get_running_loop().call_later(wait_s, self._look)


def _scene_in(fields: Mapping[str, Any]) -> str | None:
    """The scene that an event or answer names."""
    name = fields.get("sceneName", fields.get("currentProgramSceneName"))
    return same_name(name) if isinstance(name, str) else None


def _name_of(meter: Any) -> str | None:
    match meter:
        case {"inputName": str(name)}:
            return same_name(name)
    return None


def _peak(meter: Any) -> float:
    """The loudest channel, behind its fader and mute: each is told as its magnitude, its peak, and the peak before."""
    channels = meter.get("inputLevelsMul")
    told = channels if isinstance(channels, list) else []
    peaks = [channel[1] for channel in told if isinstance(channel, list) and len(channel) > 1]
    return max([0.0, *(peak for peak in peaks if isinstance(peak, int | float))])
