"""What a listener or operator can get wrong about moods and controls.

MoodsError
├── UnknownName          a name that is not in a fixed list; carries the nearest names
│   ├── UnknownMood
│   ├── UnknownStyle
│   ├── UnknownStinger
│   ├── UnknownTheme     a theme that the station was not opened with
│   ├── UnknownClip
│   ├── UnknownState
│   ├── UnknownParameter
│   ├── UnknownMarker
│   └── UnknownKey
├── NotUnderstood        a prompt that is to be refused where nothing of it is understood
├── TooManyWaiting      too much has been asked for later
├── OutOfRange           a number outside its range, or not a number
└── BadControl           a control whose shape cannot be read
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any


def shown(value: object, max_length: int = 80) -> str:
    """A value as the JSON that a client would write, cut short, for the text of an error."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair cannot be sent on
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


class MoodsError(ValueError):
    """Base of all errors of this package; `code` is the stable name sent to clients."""

    code = "bad_value"

    @property
    def members(self) -> dict[str, Any]:
        """What a client is told besides code and text, as JSON values."""
        return {}


class UnknownName(MoodsError):
    """`name` is not known; `nearest` are the names that may have been meant, `way_out` helps where there is none."""

    code = "unknown_name"
    noun = "name"

    def __init__(self, name: str, nearest: Sequence[str], way_out: str) -> None:
        self.name, self.nearest = name, list(nearest)
        hint = f"nearest: {', '.join(self.nearest)}" if self.nearest else way_out
        super().__init__(f"unknown {self.noun} {shown(name)}; {hint}")

    @property
    def members(self) -> dict[str, Any]:
        return {"field": self.noun, "value": self.name, "nearest": self.nearest}


class UnknownMood(UnknownName):
    code, noun = "unknown_mood", "mood"


class UnknownStyle(UnknownName):
    code, noun = "unknown_style", "style"


class UnknownStinger(UnknownName):
    code, noun = "unknown_stinger", "stinger"


class UnknownTheme(UnknownName):
    code, noun = "unknown_theme", "theme"


class UnknownClip(UnknownName):
    code, noun = "unknown_preset", "preset"


class UnknownState(UnknownName):
    code, noun = "unknown_state", "state"


class UnknownParameter(UnknownName):
    code, noun = "unknown_parameter", "parameter"


class UnknownMarker(UnknownName):
    code, noun = "unknown_marker", "marker"


class TooManyWaiting(MoodsError):
    """Nothing more can be asked for later until some of it has begun."""

    code = "too_many_waiting"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} controls wait for their place already; allowed are {most}; cancel some, or ask later")


class UnknownKey(UnknownName):
    code, noun = "unknown_key", "key"


class NotUnderstood(MoodsError):
    """Nothing of `prompt` was understood."""

    code = "not_understood"

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        super().__init__(f"nothing of {shown(prompt)} was understood; name a mood, a style, an instrument or a feeling")

    @property
    def members(self) -> dict[str, Any]:
        return {"field": "prompt", "value": self.prompt}


class OutOfRange(MoodsError):
    """`field` was `value`; allowed is `low` … `high`."""

    code = "out_of_range"

    def __init__(self, field: str, value: object, low: float, high: float) -> None:
        self.field, self.value, self.low, self.high = field, value, low, high
        super().__init__(f"{field} is {shown(value, 60)}; allowed is {low:g} … {high:g}")

    @property
    def members(self) -> dict[str, Any]:
        """JSON has no NaN and no infinity: they are told by name."""
        is_number = not isinstance(self.value, float) or math.isfinite(self.value)
        value = self.value if is_number else shown(self.value)
        return {"field": self.field, "value": value, "range": [self.low, self.high]}


class BadControl(MoodsError):
    """A control that cannot be read; the text says which part and what is expected there."""

    code = "bad_control"
