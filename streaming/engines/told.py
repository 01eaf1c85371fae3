"""A performance in the words of the public interface. In: acks, events, intents; out: messages. Remembers nothing."""

from __future__ import annotations

from typing import Any

from engine.performance import Ack, Beat, Marker, Performance, Section, StreamPosition
from engine.performance import Event as Happening
from moods.control import Control, Steer
from moods.intent import LAYERS, STYLES, Intent
from moods.prompt import resolve_prompt
from streaming.protocol import Event


def ack_message(ack: Ack, control: Control) -> Event:
    fields = {name: _place(at) for name, at in ack.fields.items()}
    message = {"type": "ack", "id": ack.id, "effective_at": _place(ack.effective), "fields": fields}
    if isinstance(control, Steer) and control.set.prompt is not None:
        message["understood"] = resolve_prompt(control.set.prompt).to_dict()
    return message


def event_message(event: Happening) -> Event:
    place = _place(event.at)
    match event:
        case Beat():
            return {"type": "beat", **place}
        case Section(name=name):
            return {"type": "section", "name": name, **{key: value for key, value in place.items() if key != "bpm"}}
        case Marker(stinger=None):
            return {"type": "marker", "id": event.id, "name": "hit", "strength": event.strength, **place}
        case Marker():
            return {"type": "marker", "id": event.id, "name": "stinger", "stinger": event.stinger, **place}


def status_message(performance: Performance) -> Event:
    """What is sounding and where it is going; the front adds what it knows of listeners."""
    playing = "playing" if performance.is_sounding else "paused"
    return {
        "type": "status",
        "state": "ended" if performance.is_over else playing,
        "position": _place(performance.position()),
        "mood": mood_message(performance.mood()),
        "heading": mood_message(performance.heading()),
    }


def mood_message(intent: Intent) -> dict[str, Any]:
    """An intent in the words of the public interface."""
    return {
        "valence": round(intent.valence, 4),
        "energy": round(intent.energy, 4),
        "tension": round(intent.tension, 4),
        "style": {name: round(weight, 4) for name, weight in zip(STYLES, intent.style, strict=True) if weight > 1e-4},
        "bpm": round(intent.bpm, 2),
        "key": str(intent.key),
        "density": round(intent.density, 4),
        "brightness": round(intent.brightness, 4),
        "layers": {
            name: {"gain_db": round(gain_db, 2), "plays": plays}
            for name, gain_db, plays in zip(LAYERS, intent.layer_gains_db, intent.active_layers, strict=True)
        },
        "temperature": round(intent.temperature, 4),
        "section": intent.section,
    }


def _place(at: StreamPosition) -> dict[str, Any]:
    return {"frame": at.frame, "seconds": at.seconds, "bar": at.bar, "beat": at.beat, "bpm": at.bpm}
