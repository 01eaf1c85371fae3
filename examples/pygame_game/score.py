"""What the music of the game is: states, the ways between them, and what danger does. All of it goes to the server."""

from __future__ import annotations

from typing import Any

STATES: dict[str, Any] = {
    "explore": {"mood": "night", "energy": 0.3, "bpm": 88},
    "combat": {"mood": "epic", "bpm": 132, "key": "D minor", "priority": 1},
    "victory": {"mood": "victory", "energy": 0.75, "bpm": 120, "key": "D major"},
}

TRANSITIONS: list[dict[str, Any]] = [
    {"from": "*", "to": "combat", "at": "beat", "how": "cut"},  # at once, with a hit over the seam
    {"from": "combat", "to": "victory", "at": "beat", "how": "cut", "stinger": "success"},
    {"from": "*", "to": "explore", "at": "bar", "over": "2 bars"},
]

PARAMETERS: dict[str, Any] = {
    "danger": {
        "smooth": 0.3,
        "hysteresis": 0.02,
        "to": [
            {"field": "tension", "curve": [[0, 0.1], [1, 0.8]]},
            {"field": "brightness", "curve": [[0, 0.4], [1, 0.7]]},
        ],
    },
}

OPENING = {"states": STATES, "transitions": TRANSITIONS, "parameters": PARAMETERS, "initial": "explore"}
VICTORY_BARS = 2
"""How long a victory is celebrated."""
