"""A performance in the words of the public interface. In: acks, events, intents; out: messages. Remembers nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from engine import performance
from engine.audio import BLOCK_SECONDS
from engine.performance import Performance, StreamPosition, StreamReach
from moods.intent import BEATS_PER_BAR, LAYERS, STYLES, Intent
from moods.mood import style_names
from streaming.messages import (
    AskedBy,
    Beat,
    CountingDown,
    Effect,
    Layer,
    Marker,
    Mood,
    Novelty,
    Pending,
    Place,
    Playing,
    Reached,
    SectionBegan,
    StateBegan,
    States,
    Told,
    Wandering,
)

_MAX_WISH = 100
"""A prompt may have more characters; this is for a line on a page."""


def effect_message(ack: performance.Ack, lead_s: float) -> Effect:
    return Effect(
        effective_at=_place(ack.effective),
        fields=_reached(ack.fields),
        replaces=list(ack.replaces),
        lead_ms=lead_in_ms(lead_s),
    )


def lead_in_ms(lead_s: float) -> float:
    return round(1000 * lead_s, 1)


def event_message(event: performance.Event) -> Told:
    at = _place(event.at)
    match event:
        case performance.Beat():
            return Beat(
                type="beat",
                position_ms=round(1000 * at["seconds"]),
                tempo=at["bpm"],
                timesig_upper=BEATS_PER_BAR,
                timesig_lower=4,
                **at,
            )
        case performance.Section(name=name):
            frame, seconds, bar, beat = at["frame"], at["seconds"], at["bar"], at["beat"]
            return SectionBegan(type="section", name=name, bar=bar, beat=beat, frame=frame, seconds=seconds)
        case performance.StateBegan(name=name, previous=previous):
            return StateBegan(type="state", name=name, previous=previous, **at)
        case performance.Marker():
            return _marker(event)


def _marker(event: performance.Marker) -> Marker:
    marker = Marker(
        type="marker",
        id=event.id,
        name="hit" if event.stinger is None else "stinger",
        frame=event.at.frame,
        seconds=event.at.seconds,
        bar=event.at.bar,
        beat=event.at.beat,
        bpm=event.at.bpm,
    )
    if event.stinger is None:
        marker["strength"] = event.strength
    else:
        marker["stinger"] = event.stinger
    return marker


def playing_message(played: Performance) -> Playing:
    """What is sounding and where it is going; the server process adds what it knows of listeners."""
    state: Literal["playing", "paused"] = "playing" if played.is_sounding else "paused"
    sounding = played.mood()
    playing = Playing(
        state="ended" if played.is_over else state,
        mood=mood_message(sounding),
        heading=mood_message(played.heading()),
        position=_place(played.position()),
        pending=[_pending_message(each) for each in played.pending()],
        volume_db=played.controller.volume_db,
        target_lufs=round(sounding.loudness_lufs, 1),
    )
    now, heading = played.state(), played.controller.state_heading
    if heading is not None:
        playing["states"] = States(
            now=None if now is None else now.name,
            previous=None if now is None else now.previous,
            heading=heading.name,
        )
    if (zero := played.zero) is not None:
        remaining_s = zero.seconds - played.next_block * BLOCK_SECONDS
        playing["countdown"] = CountingDown(ends_at=_place(zero), remaining_s=remaining_s)
    if played.controller.values:
        playing["parameters"] = dict(played.controller.values)
    if (asked := played.asked_by) is not None:
        playing["asked_by"] = AskedBy(by=asked.by, what=asked.wish[:_MAX_WISH], at_frame=asked.frame)
    if (wandering := _wandering(played)) is not None:
        playing["autopilot"] = wandering
    if novelty := played.generator.novelty(played.slot):
        playing["novelty"] = cast(Novelty, dict(novelty))
    return playing


def _pending_message(waits: performance.Waits) -> Pending:
    pending = Pending(id=waits.id, type=waits.type, fields=_reached(waits.fields))
    if waits.by is not None:
        pending["by"] = waits.by
    return pending


def _wandering(played: Performance) -> Wandering | None:
    controller, autopilot = played.controller, played.controller.autopilot
    if autopilot is None or autopilot.settings is None:
        return None
    leg = autopilot.legs[-1]
    oldest = controller.frame_of_beat(controller.clock.oldest_beat)
    since = _place(played.in_stream(controller.position(max(oldest, leg.frame))))
    return Wandering(
        drift=autopilot.settings.drift,
        novelty=autopilot.settings.novelty,
        mood=leg.place.mood,
        heading={**leg.place.fields, "style": style_names(leg.place.style)},
        since=since,
        held_s={name: round(left_s, 1) for name, left_s in autopilot.held(played.music_frame).items()},
    )


def mood_message(intent: Intent) -> Mood:
    """An intent in the words of the public interface."""
    return Mood(
        valence=round(intent.valence, 4),
        energy=round(intent.energy, 4),
        tension=round(intent.tension, 4),
        style={name: round(weight, 4) for name, weight in zip(STYLES, intent.style, strict=True) if weight > 1e-4},
        bpm=round(intent.bpm, 2),
        key=str(intent.key),
        density=round(intent.density, 4),
        brightness=round(intent.brightness, 4),
        layers={
            name: Layer(gain_db=round(gain_db, 2), plays=plays)
            for name, gain_db, plays in zip(LAYERS, intent.layer_gains_db, intent.active_layers, strict=True)
        },
        temperature=round(intent.temperature, 4),
        novelty=round(intent.novelty, 4),
        section=intent.section,
    )


def _place(at: StreamPosition) -> Place:
    return Place(frame=at.frame, seconds=at.seconds, bar=at.bar, beat=at.beat, bpm=at.bpm)


def _reached(fields: Mapping[str, StreamReach]) -> dict[str, Reached]:
    return {name: Reached(**_place(reach.begin), arrived_at=_place(reach.arrive)) for name, reach in fields.items()}
