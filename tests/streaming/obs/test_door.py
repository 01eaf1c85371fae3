"""OBS steers a station: scenes, the stream, microphones; whatever becomes of OBS meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from streaming import retrying
from streaming.config import Config
from streaming.errors import BadConfig
from streaming.obs.door import ObsDoor
from streaming.obs.settings import Obs
from tests.streaming.conftest import SINES, Running
from tests.streaming.obs.studio import Studio
from tests.streaming.test_engines import wait_until

SETTINGS: dict[str, Any] = {
    "password": "secret",
    "station": "stage",
    "scenes": {
        "Starting": {"mood": "focus", "countdown": 300},
        "Gameplay": {"mood": "sport", "over": "2 bars"},
        "休息": {"mood": "night"},
        "Ending": {"end": "cadence"},
    },
    "stream_started": {"stinger": "reveal"},
    "stream_stopped": {"transport": "pause"},
    "microphone": "Mic/Aux",
    "hold_s": 0.3,
}


@dataclass
class Stage:
    """A station, the OBS that steers it, and the door between them."""

    server: Running
    studio: Studio
    door: ObsDoor
    station: Any

    def asked(self) -> list[dict[str, Any]]:
        return [entry.asked() for entry in self.station.log]

    def wait_for(self, *types: str) -> list[dict[str, Any]]:
        """The controls that were asked for, once there are as many as these types, which they have."""
        wait_until(lambda: len(self.station.log) >= len(types))
        asked = self.asked()
        assert [control["type"] for control in asked] == list(types)
        return asked

    def play(self, *scenes: str) -> None:
        for scene in scenes:
            self.server.call(self.studio.switch_to(scene))


@pytest.fixture
def stage(server: Running, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Stage]:
    monkeypatch.setattr(retrying.retrying, "__defaults__", (0.02, 0.05))
    studio = Studio(**{"password": "secret"} | getattr(request, "param", {}))
    server.call(studio.__aenter__())
    obs = Obs(url=studio.url, **SETTINGS)
    monkeypatch.setattr(server.conductor, "config", SINES.model_copy(update={"obs": obs}))
    station = server.conductor.stations[server.open(name="stage", bpm=240)["id"]]
    door = server.call(ObsDoor(server.conductor).__aenter__())
    yield Stage(server, studio, door, station)
    server.call(door.__aexit__())
    server.call(studio.__aexit__())
    server.conductor.doors.remove(door)


def until_connected(stage: Stage) -> None:
    wait_until(lambda: stage.door.state.now == "connected" and bool(stage.studio.clients))


def test_scenes_ask_for_what_is_mapped_and_others_leave_the_music(stage: Stage) -> None:
    until_connected(stage)
    stage.play("Gameplay", "Somewhere", "休息", "休息", "Starting", "Ending")
    asked = stage.wait_for("steer", "steer", "steer", "countdown", "end")
    assert [control["set"]["mood"] for control in asked[:3]] == ["sport", "night", "focus"]
    assert asked[0]["over"] == "2 bars" and asked[3]["seconds"] == 300
    assert {control["by"] for control in asked} == {"obs"}


@pytest.mark.parametrize("stage", [{"scene": "Starting"}], indirect=True)
def test_of_the_scene_that_obs_is_met_in_only_what_lasts_is_asked_for(stage: Stage) -> None:
    stage.wait_for("steer")
    stage.play("Somewhere", "Starting")
    stage.wait_for("steer", "steer", "countdown")


def test_the_preview_of_studio_mode_changes_nothing_and_the_stream_does(stage: Stage) -> None:
    until_connected(stage)
    stage.server.call(stage.studio.happen("CurrentPreviewSceneChanged", sceneName="Gameplay", sceneUuid="1"))
    for state in ("STARTING", "STARTED", "STOPPING", "STOPPED"):
        told = {"outputActive": state == "STARTED", "outputState": f"OBS_WEBSOCKET_OUTPUT_{state}"}
        stage.server.call(stage.studio.happen("StreamStateChanged", **told))
    stage.wait_for("stinger", "transport")


def test_a_flood_of_meters_ducks_once_and_comes_back_when_they_stop(stage: Stage) -> None:
    until_connected(stage)

    async def speak() -> None:
        for number in range(200):
            await stage.studio.measure(**{"Desktop Audio": 0.9, "Mic/Aux": 0.3 if number % 5 else 0.0})

    stage.server.call(speak())
    down, up = stage.wait_for("duck", "duck")
    assert down["gain_db"] == -9 and up["gain_db"] == 0 and up["by"] == "obs"


def test_a_muted_microphone_does_not_duck(stage: Stage) -> None:
    until_connected(stage)
    stage.server.call(stage.studio.measure(**{"Mic/Aux": 0.0, "Desktop Audio": 1.0}))
    stage.server.call(stage.studio.happen("InputVolumeMeters", inputs=[{"inputName": "Mic/Aux"}, {}, 7]))
    stage.play("Gameplay")
    stage.wait_for("steer")


def test_a_restart_of_obs_in_the_midst_is_no_new_scene_and_the_next_one_counts(stage: Stage) -> None:
    until_connected(stage)
    stage.play("Gameplay")
    stage.wait_for("steer")
    stage.server.call(stage.studio.__aexit__())
    wait_until(lambda: stage.door.state.now == "waiting")
    assert "OBS" in str(stage.door.state.last_error)
    stage.server.call(stage.studio.__aenter__())
    until_connected(stage)
    stage.play("休息")
    stage.wait_for("steer", "steer")


def test_a_wrong_password_is_told_and_tried_again_later(stage: Stage) -> None:
    until_connected(stage)
    stage.studio.password = "another"
    stage.server.call(stage.studio.__aexit__())
    stage.server.call(stage.studio.__aenter__())
    wait_until(lambda: stage.door.state.now == "refused")
    assert "refuses the password" in str(stage.door.state.last_error)


def test_who_is_kicked_does_not_come_back(stage: Stage) -> None:
    until_connected(stage)
    stage.server.call(stage.studio.kick())
    wait_until(lambda: stage.door.state.now == "refused")
    assert stage.studio.num_connections == 1


def test_music_that_has_ended_begins_again_for_a_scene_with_a_mood(stage: Stage) -> None:
    until_connected(stage)
    stage.server.http.post(f"/v1/stations/{stage.station.id}/controls", json={"type": "end", "how": "stop"})
    wait_until(lambda: stage.station.playing()["state"] == "ended")
    stage.play("Gameplay")
    stage.wait_for("end", "transport", "steer")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scenes": {"BRB": {"mood": "nihgt"}}}, r'obs\.scenes\.BRB: unknown mood "nihgt"; nearest: night'),
        ({"scenes": {"BRB": {"countdwn": 3}}}, r'obs\.scenes\.BRB: "countdwn" is nothing .*; nearest: countdown'),
        ({"stream_started": {"over": 3}}, r"obs\.stream_started: over is given without a mood field or state"),
        ({"microphone": 7}, r'obs\.microphone is 7; expected for example "Mic/Aux"'),
        ({"url": "http://127.0.0.1"}, r"obs\.url is .*expected for example ws://127\.0\.0\.1:4455"),
        ({"hold_s": 0}, r"hold_s is 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_the_way_out(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        Config(obs=settings)
