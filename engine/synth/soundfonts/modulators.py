"""A soundfont's modulators as rows of its file, chapter 8.2 of the standard 2.04. Remembers nothing."""

from __future__ import annotations

from typing import NamedTuple

NONE, VELOCITY, KEY, PITCH_WHEEL, PITCH_WHEEL_RANGE, LINK = 0, 2, 3, 14, 16, 127
"""Inputs that are no MIDI controllers."""
_AT_REST = {PITCH_WHEEL: 0.5, PITCH_WHEEL_RANGE: 2 / 127}
_CONTROLLERS_AT_REST = {7: 1.0, 8: 0.5, 10: 0.5, 11: 1.0, **dict.fromkeys(range(70, 80), 0.5)}
"""Volume, balance, pan, expression, sounds; the rest, the modulation wheel among them, is at 0."""


class Input(NamedTuple):
    """One of a modulator's two, from the 16 bits in which a file says it."""

    bits: int

    @property
    def number(self) -> int:
        return self.bits & 0x7F

    @property
    def is_controller(self) -> bool:
        return bool(self.bits & 0x80)

    @property
    def is_negative(self) -> bool:
        return bool(self.bits & 0x100)

    @property
    def is_bipolar(self) -> bool:
        return bool(self.bits & 0x200)

    @property
    def curve(self) -> int:
        """Linear, concave, convex, switch."""
        return self.bits >> 10

    @property
    def follows_note(self) -> bool:
        """Is it the velocity or the key?"""
        return not self.is_controller and self.number in (VELOCITY, KEY)

    @property
    def value_at_rest(self) -> float:
        """What an input brings that nobody moves: 1 where there is none, 0 where it is another modulator. At the ends
        and in the middle, where those are, all curves have the value of the straight one."""
        if not self.is_controller and self.number in (NONE, LINK):
            return float(self.number == NONE)
        x = (_CONTROLLERS_AT_REST if self.is_controller else _AT_REST).get(self.number, 0.0)
        x = 1.0 - x if self.is_negative else x
        return 2.0 * x - 1.0 if self.is_bipolar else x


class Modulator(NamedTuple):
    source: int
    generator: int
    amount: int
    amount_source: int
    transform: int

    @property
    def identity(self) -> tuple[int, ...]:
        """Of two that agree in it, a zone's stands for the one before it."""
        return self.source, self.generator, self.amount_source, self.transform

    @property
    def inputs(self) -> tuple[Input, Input]:
        return Input(self.source), Input(self.amount_source)


_VELOCITY_TO_ATTENUATION = Modulator(0x0502, 48, 960, 0, 0)
DEFAULT_MODULATORS = {_VELOCITY_TO_ATTENUATION.identity: _VELOCITY_TO_ATTENUATION}
"""Of the standard's ten what a note plays by. The second, velocity to cutoff, is left to banks that ask for it, as
FluidSynth and MuseScore have it; the others follow controllers, which rest."""
