"""Lines of a take beside its opening."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from streaming.messages.kinds import Frame, extensible


@extensible
class TakeLine(TypedDict):
    """A further line of a take: a control; of an engine with too much to do, a `skip` of `blocks`, `rest`, `resume`.

    `frame`: before which it was applied."""

    type: Literal[
        "steer", "state", "parameter", "section", "end", "countdown", "transport", "panic", "duck", "volume", "cancel",
        "hit", "stinger", "theme", "skip", "rest", "resume",
    ]  # fmt: skip
    frame: Frame
