"""The protocol of obs-websocket 5, against a server that keeps to its document."""

from __future__ import annotations

import json

import pytest
from websockets.asyncio.server import ServerConnection, serve

from streaming.obs import connection
from streaming.obs.connection import Event, ObsEnded, ObsRefuses, ObsUnavailable, Subscription, open_obs
from tests.streaming.obs.studio import Studio

ALL = Subscription.SCENES | Subscription.OUTPUTS | Subscription.VOLUME_METERS


def test_a_password_is_proved_as_the_document_says() -> None:
    asked = {"challenge": "+IxH4CnCiqpX1rM9scsNynZzbOe4KhDeYcTNS3PDaeY=",
             "salt": "lM1GncleQOaCu9lT1yeUZhFYnqhsLLP1G5lAGo3ixaI="}  # fmt: skip
    assert connection._proof("supersecretpassword", asked) == "1Ct943GAT+6YQUUX47Ia/ncufilbe6+oD6lY+5kaCu4="


@pytest.mark.parametrize("password", ["", "密码 of mine"])
async def test_requests_are_answered_and_events_come_in_their_order(password: str) -> None:
    async with Studio(password, scene="开场") as studio, open_obs(studio.url, password, ALL) as obs:
        await studio.switch_to("游戏")  # on its way before the answer is
        assert await obs.request("GetCurrentProgramScene") == {"currentProgramSceneName": "游戏"}
        await studio.measure(mic=0.5)
        events = obs.events()
        assert await anext(events) == Event("CurrentProgramSceneChanged", {"sceneName": "游戏", "sceneUuid": "0a1b"})
        assert (await anext(events)).kind == "InputVolumeMeters"
        with pytest.raises(ObsUnavailable, match=r"refuses SaveReplayBuffer with 204: Unknown request type\."):
            await obs.request("SaveReplayBuffer")


async def test_only_what_was_subscribed_to_is_sent() -> None:
    async with Studio() as studio, open_obs(studio.url, "", Subscription.SCENES) as obs:
        await studio.measure(mic=0.5)
        await studio.happen("StreamStateChanged", outputActive=True, outputState="OBS_WEBSOCKET_OUTPUT_STARTED")
        await studio.switch_to("Next")
        assert (await anext(obs.events())).kind == "CurrentProgramSceneChanged"


@pytest.mark.parametrize(
    ("studio", "password", "said"),
    [
        (Studio("right"), "wrong", r"refuses the password.*Show Connect Info"),
        (Studio("right"), "", r"asks for a password; set obs\.password_file"),
        (Studio(rpc_version=2), "", r"another version of its protocol than 1"),
    ],
)
async def test_what_somebody_has_to_mend_is_told_in_words(studio: Studio, password: str, said: str) -> None:
    async with studio:
        with pytest.raises(ObsRefuses, match=said):
            async with open_obs(studio.url, password, ALL):
                pass


async def test_who_is_sent_away_is_told_so() -> None:
    async with Studio() as studio, open_obs(studio.url, "", ALL) as obs:
        await studio.kick()
        with pytest.raises(ObsEnded, match="somebody has ended the connection in OBS"):
            await anext(obs.events())


async def test_an_obs_that_goes_away_or_is_none_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Studio() as studio:
        async with open_obs(studio.url, "", ALL) as obs:
            await studio.__aexit__()
            with pytest.raises(ObsUnavailable, match="closed the connection with 1001"):
                await anext(obs.events())
        with pytest.raises(ObsUnavailable, match="cannot be reached at ws://127"):
            async with open_obs(studio.url, "", ALL):
                pass

    async def mumble(client: ServerConnection) -> None:
        words = client.request.path if client.request is not None else ""
        if words != "/silent":
            await client.send({"/text": "hello", "/array": "[]", "/odd": json.dumps({"op": 7, "d": {}})}[words])
        await client.wait_closed()

    async with serve(mumble, "127.0.0.1", 0) as other:
        address = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        for path, said in (("text", "not JSON"), ("array", "no message"), ("odd", "kind 7"), ("silent", "is silent")):
            if path == "silent":
                monkeypatch.setattr(connection, "_PATIENCE_S", 0.2)
            with pytest.raises(ObsUnavailable, match=said):
                async with open_obs(f"{address}/{path}", "", ALL):
                    pass
