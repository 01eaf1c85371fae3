"""What is made of each state: loops, bars that lead to others, stingers. In: a request; out: pieces with their takes.

Remembers nothing; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.audio import SAMPLE_RATE
from engine.take import Entry, Take
from moods.control import parse_control
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR
from moods.opening import Opening, parse_opening
from streaming.baking.asked import BakeRequest

_BRIDGE_BEAT = 16
"""Before its bar a bridge has so many beats of the state that it leaves, which are heard by nobody."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all of a state stands on."""

    state: str
    fields: dict[str, Any]
    """Mood fields, tempo and key among them."""
    bpm: int
    key: str
    beat_frames: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to be made of a take."""

    name: str
    """Of its file, without an ending; no two have the same."""
    ground: Ground
    take: Take
    num_frames: int
    from_frame: int = 0
    intensity: float | None = None
    """Of a loop among several of its state."""
    begun: str | None = None
    """Of a bridge: the state that it leads to."""


def grounds(request: BakeRequest) -> dict[str, Ground]:
    """Tempo and key of each state: as a station has them that begins in it."""
    out = {}
    for state in request.opening.states:
        fields = request.opening.matrix.fields(state).asked()
        heard = Controller(parse_opening(fields), request.seed).intent(0)
        bpm, key = round(heard.bpm), str(heard.key)
        fields |= {"bpm": bpm, "key": key}
        out[state] = Ground(state, fields, bpm, key, round(60 * SAMPLE_RATE / bpm))
    return out


def loops(request: BakeRequest, ground: Ground) -> Iterator[Piece]:
    """The loops of a state, as long as each other."""
    num_frames = request.table.bars * BEATS_PER_BAR * ground.beat_frames
    levels: Sequence[float | None] = request.table.intensities or [None]
    for intensity in levels:
        fields = ground.fields if intensity is None else ground.fields | {"energy": intensity}
        timeline = fields | {"duration": num_frames / SAMPLE_RATE, "ending": "loop", "tempo_range": 0.0}
        opening = parse_opening({"timeline": timeline, **_melodies(request.opening)})
        name = file_name(ground.state) + ("" if intensity is None else f"-{intensity:g}")
        yield Piece(name, ground, Take(opening, request.seed), num_frames, intensity=intensity)


def bridges(request: BakeRequest, by_state: dict[str, Ground]) -> Iterator[Piece]:
    """A bar from each state to each other, in the tempo of the one that is left."""
    for left in by_state.values():
        for begun in by_state.values():
            if left is not begun:
                yield _bridge(request, left, begun)


def _bridge(request: BakeRequest, left: Ground, begun: Ground) -> Piece:
    states = {ground.state: ground.fields for ground in (left, begun)}
    opening = parse_opening({"states": states, "initial": left.state, **_melodies(request.opening)})
    clock = Controller(opening, request.seed).clock
    first, end = clock.frame_of_beat(_BRIDGE_BEAT), clock.frame_of_beat(_BRIDGE_BEAT + BEATS_PER_BAR)
    control = {"type": "state", "name": begun.state, "how": "bridge", "at": {"seconds": end / SAMPLE_RATE}}
    take = Take(opening, request.seed, (Entry(0, 0, parse_control(control)),))
    name = f"{file_name(left.state)}--{file_name(begun.state)}"
    return Piece(name, left, take, end - first, first, begun=begun.state)


def stinger_opening(request: BakeRequest, ground: Ground) -> Opening:
    return parse_opening({**ground.fields, **_melodies(request.opening)})


def _melodies(opening: Opening) -> dict[str, Any]:
    """The stingers of the user's own, as they were asked for."""
    asked = opening.asked()
    return {name: asked[name] for name in ("stingers",) if name in asked}


def file_name(name: str) -> str:
    """A name as a file may have it in every system."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "state"
