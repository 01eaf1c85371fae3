"""OBS Studio as its protocol document has it: obs-websocket 5, JSON, RPC version 1.

In: what clients send; out: answers, and the events that a test lets happen. Remembers its clients and its scene.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

INTENTS = {"CurrentProgramSceneChanged": 4, "CurrentPreviewSceneChanged": 4, "StreamStateChanged": 64,
           "InputVolumeMeters": 1 << 16}  # fmt: skip


def sha256_base64(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class Studio:
    """`async with Studio(…) as studio`; its `url` stays the same when it is started again."""

    def __init__(self, password: str = "", scene: str = "Scene", rpc_version: int = 1) -> None:
        self.scene, self.rpc_version, self.password = scene, rpc_version, password
        self.clients: dict[ServerConnection, int] = {}
        """Those that are identified, and what each has subscribed to."""
        self.num_connections = 0
        self._port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await serve(self._speak, "127.0.0.1", self._port, subprotocols=["obswebsocket.json"])  # type: ignore[list-item]
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def happen(self, kind: str, **fields: Any) -> None:
        """Tell whoever has subscribed to it."""
        intent = INTENTS[kind]
        event = {"op": 5, "d": {"eventType": kind, "eventIntent": intent, "eventData": fields}}
        for client in [client for client, subscribed in self.clients.items() if subscribed & intent]:
            await client.send(json.dumps(event, ensure_ascii=False))

    async def switch_to(self, scene: str) -> None:
        self.scene = scene
        await self.happen("CurrentProgramSceneChanged", sceneName=scene, sceneUuid="0a1b")

    async def measure(self, **peaks: float) -> None:
        """Meters of active inputs: each channel as magnitude, peak, and the peak before fader and mute."""
        inputs = [{"inputName": name, "inputLevelsMul": [[peak / 2, peak, 0.9]] * 2} for name, peak in peaks.items()]
        await self.happen("InputVolumeMeters", inputs=inputs)

    async def kick(self) -> None:
        for client in list(self.clients):
            await client.close(4011, "Your session has been invalidated by the server.")

    async def _speak(self, client: ServerConnection) -> None:
        self.num_connections += 1
        hello: dict[str, Any] = {"obsWebSocketVersion": "5.5.2", "rpcVersion": self.rpc_version}
        if self.password:
            hello["authentication"] = {"challenge": "+IxH4CnCiqpX1rM9scsNynZzbOe4KhDeYcTNS3PDaeY=",
                                       "salt": "lM1GncleQOaCu9lT1yeUZhFYnqhsLLP1G5lAGo3ixaI="}  # fmt: skip
        await client.send(json.dumps({"op": 0, "d": hello}))
        try:
            async for message in client:
                await self._hear(client, json.loads(message), hello)
        except ConnectionClosed:
            pass
        finally:
            self.clients.pop(client, None)

    async def _hear(self, client: ServerConnection, message: dict[str, Any], hello: dict[str, Any]) -> None:
        fields = message["d"]
        match message["op"]:
            case 1 if client in self.clients:
                await client.close(4008)
            case 1 if fields["rpcVersion"] > self.rpc_version or fields["rpcVersion"] < 1 or self.rpc_version > 1:
                await client.close(4010)
            case 1 if self.password and fields.get("authentication") != self._proof(hello["authentication"]):
                await client.close(4009, "Authentication failed.")
            case 1:
                self.clients[client] = fields.get("eventSubscriptions", 2047)
                await client.send(json.dumps({"op": 2, "d": {"negotiatedRpcVersion": 1}}))
            case 6 if client in self.clients:
                await client.send(json.dumps({"op": 7, "d": self._answer(fields)}))
            case 6:
                await client.close(4007)
            case _:
                await client.close(4006)

    def _proof(self, asked: dict[str, str]) -> str:
        return sha256_base64(sha256_base64(self.password + asked["salt"]) + asked["challenge"])

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        mirrored = {"requestType": asked["requestType"], "requestId": asked["requestId"]}
        if asked["requestType"] != "GetCurrentProgramScene":
            return mirrored | {"requestStatus": {"result": False, "code": 204, "comment": "Unknown request type."}}
        status = {"result": True, "code": 100}
        return mirrored | {"requestStatus": status, "responseData": {"currentProgramSceneName": self.scene}}
