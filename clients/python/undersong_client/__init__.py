"""Music of an Undersong server: `Undersong` for asyncio, `undersong_client.game.Music` for a game's own loop."""

from undersong_client.errors import ClientError, NoSound, Refused, Replaced, Unreachable
from undersong_client.music import Undersong
from undersong_client.sinks import Loudspeaker, Paced, PygameMixer, Sink, WavFile

__all__ = [
    "ClientError", "Loudspeaker", "NoSound", "Paced", "PygameMixer", "Refused", "Replaced", "Sink", "Undersong",
    "Unreachable", "WavFile",
]  # fmt: skip
