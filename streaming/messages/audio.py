"""What an audio WebSocket begins with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from streaming.messages.kinds import Frame, OneOf, exact

AUDIO_FORMATS = ("pcm_s16le", "pcm_f32le", "opus")
STREAM_KINDS = ("ogg", "mp3", "aac", "wav")


@exact
class AudioHeader(TypedDict):
    """The first message of an audio WebSocket. Binary messages follow, one for every 20 ms: the frame as an unsigned
    64-bit little-endian number, then interleaved samples or one Opus packet."""

    format: Annotated[str, OneOf(AUDIO_FORMATS)]
    rate: Annotated[int, Field(ge=1)]
    """Frames a second."""
    channels: Annotated[int, Field(ge=1)]
    block_frames: Annotated[int, Field(ge=1)]
    """Frames in one message."""
    first_frame: Frame
    session: str
    """Of this listener, for `?session=` of the live channel."""
    buffer_ms: Annotated[int, Field(ge=20)]
    """How far this listener may fall behind before it loses what it has not read."""
