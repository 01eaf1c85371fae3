"""What a listener or operator can get wrong about moods and controls.

MoodsError
├── UnknownName          a name that is not in a fixed list; carries the nearest names
│   ├── UnknownMood
│   ├── UnknownStyle
│   ├── UnknownStinger
│   └── UnknownKey
├── OutOfRange           a number outside its range, or not a number
└── BadControl           a control whose shape cannot be read
"""

from __future__ import annotations

from collections.abc import Sequence


class MoodsError(ValueError):
    """Base of all errors of this package; `code` is the stable name sent to clients."""

    code = "bad_value"


class UnknownName(MoodsError):
    """`name` is not known; `nearest` are the names closest to it."""

    code = "unknown_name"
    noun = "name"

    def __init__(self, name: str, nearest: Sequence[str]) -> None:
        self.name, self.nearest = name, list(nearest)
        super().__init__(f"unknown {self.noun} {repr(name):.80}; nearest: {', '.join(self.nearest) or 'none'}")


class UnknownMood(UnknownName):
    code, noun = "unknown_mood", "mood"


class UnknownStyle(UnknownName):
    code, noun = "unknown_style", "style"


class UnknownStinger(UnknownName):
    code, noun = "unknown_stinger", "stinger"


class UnknownKey(UnknownName):
    code, noun = "unknown_key", "key"


class OutOfRange(MoodsError):
    """`field` was `value`; allowed is `low` … `high`."""

    code = "out_of_range"

    def __init__(self, field: str, value: object, low: float, high: float) -> None:
        self.field, self.value, self.low, self.high = field, value, low, high
        super().__init__(f"{field} is {repr(value):.60}; allowed is {low:g} … {high:g}")


class BadControl(MoodsError):
    """A control that cannot be read; the text says which part and what is expected there."""

    code = "bad_control"
