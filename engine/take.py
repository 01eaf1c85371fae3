"""Takes: all that the same music is performed from again, and the document they are kept in.

In: JSON lines, the first a header, then one for each thing done to the performance; out: a `Take`, and the other way
round. Remembers nothing; any thread.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.errors import BadTake
from engine.generator import Model, Traits
from moods.control import Control, Countdown, End, Panic, Transport, parse_control
from moods.errors import BadControl, MoodsError, shown
from moods.fields import MAX_SEED
from moods.opening import Opening, parse_opening
from moods.timeline import Redo

VERSION: Literal[1] = 1
_WHOLE = "expected the whole answer of GET /v1/stations/{id}/take"


@dataclass(frozen=True, slots=True)
class Skip:
    """Blocks of the stream were left out, as an engine does that comes too late; the music went on after them."""

    blocks: int

    def asked(self) -> dict[str, Any]:
        """As a line of the document has it, without its frame."""
        return {"type": "skip", "blocks": self.blocks}


@dataclass(frozen=True, slots=True)
class Rest:
    """The music faded out and waits, while the stream goes on."""

    def asked(self) -> dict[str, Any]:
        return {"type": "rest"}


@dataclass(frozen=True, slots=True)
class Resume:
    """The music goes on where it rested."""

    def asked(self) -> dict[str, Any]:
        return {"type": "resume"}


_SILENCES = (Skip, Rest, Resume, Transport, Panic)
"""What moves the music against the stream."""
Act = Control | Skip | Rest | Resume
"""What is done to a performance: what was asked of it, or what an engine that has too much to do does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing done to a performance before block `block` of its stream; `index` counts them from 0."""

    index: int
    block: int
    done: Act | str
    """JSON of it, which is read only where somebody looks: of a long log hardly anybody does."""

    @property
    def control(self) -> Act:
        """What was done. Raises `moods.errors.MoodsError` where it is JSON that cannot be read."""
        return read_control(self.asked()) if isinstance(self.done, str) else self.done

    def asked(self) -> dict[str, Any]:
        """As a line of the document has it, without its frame."""
        asked: dict[str, Any] = json.loads(self.done) if isinstance(self.done, str) else self.done.asked()
        return asked


class TakeOpening(BaseModel):
    """The first line of a take: all but the controls that the same music is made from."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    type: Literal["opening"]
    version: Literal[1]
    """Of this document's form."""
    station: str
    is_complete: bool
    """False: the oldest controls have been forgotten."""
    entries: int = Field(ge=0)
    """So many lines follow."""
    opening: dict[str, Any]
    """The fields with which the station was opened, but the seed and its name."""
    seed: int = Field(ge=0, le=MAX_SEED)
    backend: str
    """The kind of generator that made the music."""
    model: Model | None
    device: str
    patches: str | None
    """sha256 of the instruments that stood beside or for the shipped ones."""
    block_frames: int = Field(ge=1)
    """Of a block of the stream; each frame below is a multiple."""
    block_multiple: int = Field(ge=1)
    """So many blocks were made at once."""
    latency_frames: int = Field(ge=0)
    """What the stream had before the music's frame 0."""
    lead_frames: int = Field(ge=0)
    """Notes could change from a beat on that began so long after what was made."""

    @property
    def traits(self) -> Traits:
        """Of the generator that made the sound, as far as a course depends on them."""
        return Traits(
            self.backend,
            self.latency_frames,
            self.lead_frames,
            self.block_multiple,
            has_notes=False,
            has_stems=False,
            model=self.model,
            device=self.device,
            patches=self.patches,
        )


_MUST_AGREE = {
    "backend": "name",
    "model": "model",
    "patches": "patches",
    "block multiple": "block_multiple",
    "latency": "latency_frames",
    "lead": "lead_frames",
}
"""Traits without which the same take is other music. Another device only rounds otherwise."""


@dataclass(frozen=True, slots=True)
class Take:
    """An opening, a seed, and what was done before which block; `header` is that of the document it was read from."""

    opening: Opening
    seed: int
    entries: tuple[Entry, ...] = ()
    header: TakeOpening | None = None
    redo: tuple[Redo, ...] = ()
    """Regions of the stream composed once more, beside those of a timeline."""

    @property
    def redone(self) -> tuple[Redo, ...]:
        """All regions that are to be composed once more, by where they begin."""
        timeline = self.opening.timeline
        of_timeline = () if timeline is None else tuple(timeline.redo)
        return tuple(sorted((*of_timeline, *self.redo), key=lambda redo: redo.start))

    def check_performable(self, traits: Traits) -> None:
        """Raises `BadTake` where a generator of these traits would make other music of it, with what differs."""
        header = self.header
        if header is None:
            return
        if not header.is_complete:
            raise BadTake(
                "its oldest controls have been forgotten (is_complete is false); it cannot be performed again"
            )
        for name, trait in _MUST_AGREE.items():
            wanted, found = getattr(header.traits, trait), getattr(traits, trait)
            if wanted != found:
                raise BadTake(
                    f"it was made with {name} {_short(wanted)}, here is {_short(found)}; "
                    "perform it with the Undersong that made it, set up in the same way"
                )


def refitted(take: Take, num_frames: int, ending: str) -> Take:
    """The same music with another length: it is over at `num_frames` of the stream.

    Of a timeline what lies beyond is left out, and its tempo and form are fitted anew; of what was heard live all stays
    as it was until the ending begins. Raises `moods.errors.MoodsError`.
    """
    seconds, timeline = num_frames / SAMPLE_RATE, take.opening.timeline
    redo = tuple(redo for redo in take.redo if redo.end <= seconds)
    kept = [entry.control for entry in take.entries if not isinstance(entry.control, End | Countdown)]
    blocks = [entry.block for entry in take.entries if not isinstance(entry.control, End | Countdown)]
    num_kept = sum(block * BLOCK_FRAMES < num_frames for block in blocks)
    acts: list[tuple[int, Act]] = list(zip(blocks[:num_kept], kept[:num_kept], strict=True))
    opening = take.opening
    if timeline is not None:
        opening = opening.model_copy(update={"timeline": timeline.refitted(seconds, ending)})
    else:
        # A pause moves what was asked for in seconds of the stream, so that the end is asked for after the last.
        silences = [index for index, (_, act) in enumerate(acts) if isinstance(act, _SILENCES)]
        place = silences[-1] + 1 if silences else 0
        end = parse_control({"type": "end", "how": ending, "at": {"seconds": seconds}})
        acts.insert(place, (acts[place - 1][0] if place else 0, end))
    entries = tuple(Entry(index, block, act) for index, (block, act) in enumerate(acts))
    return Take(opening, take.seed, entries, take.header, redo)


def _short(value: object) -> str:
    """A model or sum in so many characters as tell it from another."""
    if isinstance(value, Model):
        return f"{value.name} ({value.sha256[:12]}…)"
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def write_take(
    station: str,
    opening: Mapping[str, Any],
    seed: int,
    entries: Sequence[Entry],
    traits: Traits,
    *,
    is_complete: bool,
) -> Iterator[str]:
    """The document's lines. `opening` is as it was asked for."""
    header = TakeOpening(
        type="opening",
        version=VERSION,
        station=station,
        is_complete=is_complete,
        entries=len(entries),
        opening={field: value for field, value in opening.items() if field not in ("seed", "name")},
        seed=seed,
        backend=traits.name,
        model=traits.model,
        device=traits.device,
        patches=traits.patches,
        block_frames=BLOCK_FRAMES,
        block_multiple=traits.block_multiple,
        latency_frames=traits.latency_frames,
        lead_frames=traits.lead_frames,
    )
    lines = ({"frame": entry.block * BLOCK_FRAMES, **entry.asked()} for entry in entries)
    rows = itertools.chain([header.model_dump(mode="json")], lines)
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_take(document: str | bytes) -> Take:
    """Read the document. Raises `BadTake` with the number of the line that is not as it should be."""
    try:
        text = document.decode("utf-8-sig") if isinstance(document, bytes) else document
    except UnicodeDecodeError as error:
        raise BadTake(f"it is no text in UTF-8 ({error}); {_WHOLE}") from None
    lines = text.split("\n")
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise BadTake(f"it is empty; {_WHOLE}")
    messages = (_object(line, number, is_cut=number == len(lines)) for number, line in rows)
    header = _read_header(next(messages))
    try:
        opening = parse_opening({field: value for field, value in header.opening.items() if field != "name"})
    except MoodsError as error:
        raise BadTake(f"line 1: {error}") from None
    entries: list[Entry] = []
    frame = 0
    for (number, _), message in zip(rows[1:], messages, strict=True):
        frame, earlier = message.pop("frame", None), frame
        if isinstance(frame, bool) or not isinstance(frame, int) or frame % BLOCK_FRAMES:
            raise BadTake(f"line {number}: frame is {shown(frame)}; expected a multiple of {BLOCK_FRAMES}")
        if frame < earlier:
            raise BadTake(f"line {number}: frame is {frame}, before the {earlier} of the line above; {_WHOLE}")
        try:
            entries.append(Entry(len(entries), frame // BLOCK_FRAMES, read_control(message)))
        except MoodsError as error:
            raise BadTake(f"line {number}: {error}") from None
    if len(entries) != header.entries:
        raise BadTake(f"{len(entries)} lines follow its first, which says {header.entries}; {_WHOLE}")
    return Take(opening, header.seed, tuple(entries), header)


def read_control(message: Mapping[str, Any]) -> Act:
    """What was done, from a line of the document without its frame. Raises `moods.errors.MoodsError`."""
    match message:
        case {"type": "skip", "blocks": int(blocks)} if blocks > 0:
            return Skip(blocks)
        case {"type": "skip", "blocks": blocks}:
            raise BadControl(f"blocks is {shown(blocks)}; expected a whole number above 0")
        case {"type": "rest"}:
            return Rest()
        case {"type": "resume"}:
            return Resume()
        case _:
            return parse_control(message)


def _object(line: str, number: int, *, is_cut: bool) -> dict[str, Any]:
    """Read a line; `is_cut` where no other and no line break follows it."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        if is_cut:
            raise BadTake(f"it is cut off in line {number}; {_WHOLE}") from None
        raise BadTake(f"line {number} is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise BadTake(f"line {number} is {shown(message)}; expected an object")
    return message


def _read_header(row: dict[str, Any]) -> TakeOpening:
    if row.get("type") != "opening":
        raise BadTake(f"line 1 is no header, its type is {shown(row.get('type'))}; {_WHOLE}")
    if row.get("version") != VERSION:
        version = shown(row["version"]) if "version" in row else "missing"
        raise BadTake(f"its version is {version}; this Undersong reads {VERSION}; perform it with the one that made it")
    try:
        header = TakeOpening.model_validate_json(json.dumps(row))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise BadTake(
            f"line 1: {field} is {shown(first['input'])}; {first['msg'][:1].lower()}{first['msg'][1:]}"
        ) from None
    if header.block_frames != BLOCK_FRAMES:
        raise BadTake(f"its blocks are of {header.block_frames} frames, here of {BLOCK_FRAMES}")
    return header
