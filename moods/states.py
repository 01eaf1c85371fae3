"""States of a game, and how the music goes from one to another. In: JSON values; out: checked states, and the passage
between any two of them. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from moods.errors import BadControl, OutOfRange, UnknownState, UnknownStinger, UnknownTheme, shown
from moods.fields import (
    MAX_OVER_SECONDS,
    Absent,
    Grid,
    Model,
    MoodFields,
    Over,
    check_is_glide,
    check_name,
    check_number,
    parse_part,
    read_over,
)
from moods.glide import Span
from moods.intent import DEFAULT_NOVELTY
from moods.mood import DEFAULT_MOOD, style_names
from moods.names import nearest
from moods.parameters import MOST_PARAMETERS, GameParameter, check_parameters
from moods.stinger import find_stinger, own_figures
from moods.targets import opening_point, point_of, targets_of
from moods.theme import Melodies, find_theme

MOST_STATES, MOST_TRANSITIONS = 100, 1000
MAX_PRIORITY = 100
PREVIOUS = "previous"
"""Instead of a name: the state before."""
ANY = "*"
"""In a transition: every state."""
SUDDEN_RISE = 0.25
"""From so much more energy on a state begins with a cut where nothing else is said."""
DRIVING = 0.6
"""A state of at least this energy has no break."""
CALM_OVER = "2 bars"
"""How long a glide into a state takes where nothing else is said."""

How = Literal["glide", "cut", "bridge"]


def _check_name(name: object, field: str) -> str:
    """Raises `BadControl` for what no state or parameter may be called."""
    name = check_name(name, field)
    if name in (PREVIOUS, ANY):
        raise BadControl(f"{field} has {shown(name)}; that name is taken, choose another")
    return name


def _table_of(model: type[Model], field: str) -> BeforeValidator:
    """Read each of a table's objects, so that what is wrong is told with the name it has there."""

    def read(table: object) -> object:
        if not isinstance(table, Mapping):
            raise BadControl(f"{field} is {shown(table)}; expected an object with a name for each")
        names = [_check_name(name, field) for name in table]
        return {name: parse_part(model, table[name], f"{field}.{name}") for name in names}

    return BeforeValidator(read)


def _read_rows(rows: object) -> object:
    if not isinstance(rows, list | tuple):
        raise BadControl(f"transitions is {shown(rows)}; expected a list")
    return [parse_part(Transition, row, f"transitions.{index}") for index, row in enumerate(rows)]


def _check_wait(field: str) -> BeforeValidator:
    def check(value: object) -> object:
        if value is not None:
            try:
                read_over(value)
            except OutOfRange as error:
                raise OutOfRange(field, value, error.low, error.high) from None
            except BadControl:
                raise BadControl(f'{field} is {shown(value)}; expected seconds, "N beats" or "N bars"') from None
        return value

    return BeforeValidator(check)


_WAIT_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": MAX_OVER_SECONDS, "description": "Seconds."},
            {"type": "string", "pattern": r"^[0-5]?[0-9]{1,2}(\.[0-9]{1,3})? (beat|bar)s?$"},
            {"type": "null"},
        ]
    }
)
_MinDwell = Annotated[float | str | None, _check_wait("min_dwell"), _WAIT_SCHEMA]
_ReturnAfter = Annotated[float | str | None, _check_wait("return_after"), _WAIT_SCHEMA]
_Priority = Annotated[
    int,
    BeforeValidator(lambda value: int(check_number("priority", value, 0, MAX_PRIORITY))),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY}),
]


class GameState(MoodFields):
    """A named mood of a game. What it leaves out is as the station's own mood fields say."""

    section: Literal["intro", "A", "B", "break"] | Absent = None
    """The section that begins with it. Left out: a new one, A, where it begins by a cut or bridge, else none."""
    hold: bool = False
    """That section goes on until the state is left."""
    theme: Annotated[str, Field(max_length=64)] | Absent = None
    """The theme that is played in it."""
    priority: _Priority = 0
    """A state of higher priority waits for no dwell; one of lower priority does not replace it while it waits."""
    min_dwell: _MinDwell = None
    """How long it lasts at least, in seconds, beats or bars; a transition may say otherwise."""


class Transition(Model):
    """How some states are left for others. Of those that fit, the one that names both states counts, then one that
    names where it leads, then one that names where it comes from."""

    from_: str | list[str] = Field(default=ANY, alias="from", examples=["combat"])
    """The state that is left, several, or "*": any, and none."""
    to: str | list[str] = Field(default=ANY, examples=["explore"])
    """The state that begins, several, or "*": any."""
    at: Grid | None = Field(default=None, examples=["bar"])
    """Where it begins; null or left out: at the next bar."""
    over: Over = Field(default=None, examples=["2 bars"])
    """How long the way there takes; null or left out: 2 bars by a glide, else nothing."""
    how: How | None = None
    """Null or left out: a glide where `over` is given, a bridge where `bridge` is true, a cut where the energy rises by
    a quarter or more, else a glide."""
    fill: bool = False
    """The drums lead into it."""
    bridge: bool = False
    """The bar before it leads into it; the same as `how` bridge."""
    min_dwell: _MinDwell = None
    """How long the state that is left has to have lasted, in seconds, beats or bars; null or left out: as it says
    itself."""
    stinger: str | None = None
    """A stinger that sounds where it begins."""
    return_after: _ReturnAfter = None
    """So long after it began, the state before it comes back by itself."""

    @field_validator("from_", "to", mode="before")
    @classmethod
    def _a_name_or_names(cls, names: object) -> object:
        if isinstance(names, str) or (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
            return names
        raise BadControl(f'a transition goes from or to {shown(names)}; expected a state, a list of states or "*"')

    @model_validator(mode="after")
    def _one_way(self) -> Transition:
        if self.bridge and self.how not in (None, "bridge"):
            raise BadControl(f"a transition {self} has bridge and how {shown(self.how)}; expected one of them")
        try:
            check_is_glide(self.asked_how, self.over)
        except BadControl as error:
            raise BadControl(f"a transition {self}: {error}") from None
        if self.return_after is not None and read_over(self.return_after).length <= 0:
            raise BadControl(f"a transition {self} has return_after 0; expected how long the state lasts")
        return self

    @property
    def asked_how(self) -> How | None:
        return "bridge" if self.bridge else self.how

    @property
    def left(self) -> tuple[str, ...]:
        return (self.from_,) if isinstance(self.from_, str) else tuple(self.from_)

    @property
    def begun(self) -> tuple[str, ...]:
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)

    def __str__(self) -> str:
        return f"from {', '.join(self.left)} to {', '.join(self.begun)}"


class StateTables(Melodies):
    """States of a game, the ways between them, its parameters, themes and stingers."""

    states: Annotated[dict[str, GameState], _table_of(GameState, "states"), Field(max_length=MOST_STATES)] = Field(
        default={}, examples=[{"explore": {"mood": "night", "energy": 0.3}, "combat": {"mood": "epic"}}]
    )
    """Named moods that a `state` control goes to."""
    transitions: Annotated[list[Transition], BeforeValidator(_read_rows), Field(max_length=MOST_TRANSITIONS)] = []
    """How the music goes from one to another; what none of them says is decided by how the energy changes."""
    initial: str | None = Field(default=None, examples=["explore"])
    """The state it begins in; null or left out: none, it begins with the station's own mood fields."""
    parameters: Annotated[
        dict[str, GameParameter],
        _table_of(GameParameter, "parameters"),
        Field(max_length=MOST_PARAMETERS),
    ] = Field(default={}, examples=[{"danger": {"to": [{"field": "energy", "curve": [[0, 0.2], [1, 0.95]]}]}}])
    """Named numbers that the game sends, and the mood fields that they drive."""

    @model_validator(mode="after")
    def _tables_agree(self) -> StateTables:
        check_parameters(self.parameters)
        if self.initial is not None:
            check_known(self.initial, self.states)
        for name, state in self.states.items():
            if state.theme is not None:
                try:
                    find_theme(state.theme, self.themes)
                except UnknownTheme as error:
                    raise BadControl(f"states.{name}: {error}") from None
        stingers = own_figures(self.stingers)
        for index, row in enumerate(self.transitions):
            for name in (*row.left, *row.begun):
                if name != ANY:
                    check_known(name, self.states)
            if row.stinger is not None:
                try:
                    find_stinger(row.stinger, stingers)
                except UnknownStinger as error:
                    raise BadControl(f"transitions.{index}: {error}") from None
        rows = _by_pair(self.transitions)
        for one, other in _pairs(self.states):
            there, back = _row(rows, one, other), _row(rows, other, one)
            if there is not None and back is not None and there.return_after and back.return_after:
                raise BadControl(
                    f"transitions from {one} to {other} and from {other} to {one} both have return_after; "
                    "they would alternate for ever, so give it to one of them"
                )
        return self


def check_known(name: str, states: Iterable[str]) -> str:
    """Raises `UnknownState` with the nearest names."""
    known = tuple(states)
    if name in known:
        return name
    way_out = f"known: {', '.join(known)}" if known else 'the station has no states; open it with "states"'
    raise UnknownState(name, nearest(name, known), way_out)


_Pair = tuple[str, str]


def _by_pair(transitions: Sequence[Transition]) -> dict[_Pair, Transition]:
    """Each row under the pairs it names. Raises `BadControl` for two rows that say something of the same pair."""
    rows: dict[_Pair, Transition] = {}
    for row in transitions:
        for pair in ((left, begun) for left in dict.fromkeys(row.left) for begun in dict.fromkeys(row.begun)):
            if pair in rows:
                raise BadControl(
                    f"transitions has two rows from {pair[0]} to {pair[1]} that are equally specific; expected one"
                )
            rows[pair] = row
    return rows


def _pairs(names: Iterable[str]) -> Iterator[_Pair]:
    known = tuple(names)
    return ((one, other) for index, one in enumerate(known) for other in known[index + 1 :])


def _row(rows: Mapping[_Pair, Transition], left: str | None, begun: str) -> Transition | None:
    """The most specific row."""
    named = () if left is None else ((left, begun),)
    from_named = () if left is None else ((left, ANY),)
    return next((rows[pair] for pair in (*named, (ANY, begun), *from_named, (ANY, ANY)) if pair in rows), None)


@dataclass(frozen=True, slots=True)
class Passage:
    """How the music goes from one state to another."""

    at: str
    how: How
    over: float | str | None  # None: as is natural for `how`
    has_fill: bool
    stinger: str | None
    min_dwell: Span  # of the state that is left
    return_after: Span | None

    def asked(self, how: How | None, over: float | str | None) -> Passage:
        """The same where something else is asked for: `over` alone asks for a glide."""
        how = how or (self.how if over is None else "glide")
        if over is None and how == self.how:
            over = self.over
        if over is None and how == "glide":
            over = CALM_OVER
        return replace(self, how=how, over=over)


class StateMatrix:
    """The states of a station, what each sets, and the passage between any two."""

    def __init__(self, tables: StateTables, own: MoodFields) -> None:
        """`own` are the station's mood fields, apart from its states."""
        self.states = tables.states
        self.initial = tables.initial
        self._rows = _by_pair(tables.transitions)
        self._fields = {name: _whole(state, tables.states.values(), own) for name, state in tables.states.items()}
        self._energies = {name: _energy_of(fields) for name, fields in self._fields.items()}
        self._own_energy = _energy_of(own)

    def fields(self, name: str) -> MoodFields:
        """All mood fields of a state, those too that it leaves to the station."""
        return self._fields[name]

    def is_driving(self, name: str | None) -> bool:
        """Has the state no break?"""
        return name is not None and self._energies[name] >= DRIVING

    def priority(self, name: str | None) -> int:
        return 0 if name is None else self.states[name].priority

    def passage(self, left: str | None, begun: str) -> Passage:
        """How the music goes from one state, or none, to another."""
        row = _row(self._rows, left, begun) or Transition()
        own_dwell = None if left is None else self.states[left].min_dwell
        dwell = own_dwell if row.min_dwell is None else row.min_dwell
        energy = self._own_energy if left is None else self._energies[left]
        is_sudden = self._energies[begun] >= energy + SUDDEN_RISE - 1e-9
        return Passage(
            at=row.at or "bar",
            how="cut" if is_sudden else "glide",
            over=None,
            has_fill=row.fill,
            stinger=row.stinger,
            min_dwell=Span(0.0) if dwell is None else read_over(dwell),
            return_after=None if row.return_after is None else read_over(row.return_after),
        ).asked(row.asked_how, row.over)


_POINT = ("valence", "energy", "tension", "style")
_OF_THE_POINT = ("mood", "prompt", "strict", *_POINT)
_OPEN = {"bpm": None, "key": None, "density": None, "brightness": None, "temperature": 1.0, "novelty": DEFAULT_NOVELTY}
"""What a field is where neither state nor station says anything of it, though another state does."""


def _said(fields: MoodFields) -> dict[str, Any]:
    """The mood fields that were given."""
    return {name: getattr(fields, name) for name in MoodFields.model_fields if name in fields.model_fields_set}


def _whole(state: GameState, states: Iterable[GameState], own: MoodFields) -> MoodFields:
    """What a state sets: its own fields; where it names no mood the station's; and of what only other states set, that
    it is left open, so that nothing of one state stays in another."""
    said, base = _said(state), _said(own)
    if "mood" in said or "prompt" in said:
        base = {name: value for name, value in base.items() if name not in _OF_THE_POINT}
        if point_of(state) is None:
            point = opening_point(own)
            base |= {"valence": point.valence, "energy": point.energy, "tension": point.tension}
            base |= {"style": style_names(point.style)} | {
                name: _said(own)[name] for name in _POINT if name in _said(own)
            }
    elif "prompt" not in base:
        base = {"mood": DEFAULT_MOOD} | base
    elsewhere = [_said(each) for each in states]
    left_open = {name: value for name, value in _OPEN.items() if any(name in each for each in elsewhere)}
    whole = left_open | base | said
    layers = {layer: 0.0 for each in elsewhere for layer in each.get("layers") or {}}
    if layers or whole.get("layers"):
        whole["layers"] = layers | (base.get("layers") or {}) | (said.get("layers") or {})
    return MoodFields(**whole)


def _energy_of(fields: MoodFields) -> float:
    energy = targets_of(fields).get("energy")
    return opening_point(fields).energy if energy is None else float(energy)
