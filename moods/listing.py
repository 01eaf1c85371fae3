"""All that can be asked for by name. In: the presets; out: plain values. Remembers nothing; any thread."""

from __future__ import annotations

from typing import Any

from moods.clip import clip_names, clip_timeline
from moods.mood import list_moods, styles
from moods.stinger import list_stingers


def listing() -> dict[str, list[dict[str, Any]]]:
    """Moods, styles and stingers with English and Chinese names, and presets for clips, as the command and the server
    tell them."""
    return {
        "moods": [mood.to_dict() | {"zh": mood.name_zh} for mood in list_moods()],
        "styles": [{"name": style.name, "zh": style.name_zh} for style in styles()],
        "stingers": [stinger.to_dict() for stinger in list_stingers()],
        "clips": [{"name": name, "timeline": clip_timeline(name, {})} for name in clip_names()],
    }
