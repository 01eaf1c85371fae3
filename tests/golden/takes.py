"""Ten takes that touch all that a station can be asked: openings, and controls at the blocks before which they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class GoldenTake:
    opening: dict[str, Any]
    seed: int
    controls: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """By the number of the block before which they are applied; `skip` leaves blocks of the stream out."""
    num_blocks: int = 500


def _steer(over: float | str | None = None, at: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "steer", "set": fields, "over": over, "at": at}


TAKES = {
    "as_opened": GoldenTake({"mood": "epic"}, 1, num_blocks=700),
    "a_prompt_that_glides": GoldenTake(
        {"prompt": "rainy night, a little sad"},
        2,
        {
            110: [_steer(over="2 bars", prompt="victory, fast drums")],
            300: [_steer(over=1.5, valence=-0.6, tension=0.8)],
        },
    ),
    "styles_and_colour": GoldenTake(
        {"style": {"lofi": 0.7, "jazz": 0.3}, "energy": 0.4, "bpm": 84},
        3,
        {
            60: [_steer(at="now", brightness=0.9), _steer(over="4 beats", energy=0.9)],
            200: [_steer(style={"house": 1.0}, at="bar")],
        },
    ),
    "layers_and_ducking": GoldenTake(
        {"mood": "sport", "layers": {"texture": "mute"}},
        4,
        {
            80: [_steer(layers={"drums": "mute", "lead": -12.0})],
            150: [{"type": "duck", "gain_db": -9, "over": 0.5, "voice": True}],
            260: [{"type": "duck", "gain_db": 0, "voice": False}, _steer(layers={"drums": 0, "texture": -3})],
        },
    ),
    "keys_and_tempo": GoldenTake(
        {"mood": "travel", "key": "A minor"},
        5,
        {40: [_steer(key="Eb major")], 90: [_steer(bpm=150, over="2 bars")], 280: [_steer(bpm=None, key=None)]},
        num_blocks=600,
    ),
    "hits_and_stingers": GoldenTake(
        {"mood": "suspense", "energy": 0.6},
        6,
        {
            30: [{"type": "hit", "at": "now", "strength": 0.9}],
            100: [{"type": "hit", "at": "bar", "id": "h"}, {"type": "stinger", "name": "reveal", "at": "beat"}],
            190: [{"type": "hit", "at": {"seconds": 6.3}}, {"type": "stinger", "name": "reveal", "at": "now"}],
            330: [{"type": "hit", "at": {"seconds": 9.0}, "id": "late"}],
            340: [{"type": "cancel", "id": "late"}],
        },
    ),
    "transport": GoldenTake(
        {"mood": "focus"},
        7,
        {
            70: [{"type": "transport", "do": "pause"}],
            100: [_steer(energy=0.8), {"type": "transport", "do": "play"}],
            180: [{"type": "panic"}],
            200: [{"type": "transport", "do": "play"}],
            260: [{"type": "transport", "do": "restart"}],
            350: [{"type": "skip", "blocks": 25}],
        },
    ),
    "a_cadence": GoldenTake(
        {"mood": "healing"},
        8,
        {20: [{"type": "end", "how": "cadence", "at": {"seconds": 11.0}}], 60: [_steer(bpm=96)]},
        num_blocks=560,
    ),
    "a_fade_and_again": GoldenTake(
        {"mood": "night", "energy": 0.2},
        9,
        {50: [{"type": "end", "how": "fade", "at": "bar"}], 420: [{"type": "transport", "do": "play"}]},
    ),
    "a_hand_that_drags": GoldenTake(
        {"mood": "tech", "temperature": 1.4},
        10,
        {block: [_steer(energy=round(block / 400, 3), valence=0.5 - block / 400)] for block in range(100, 320, 7)},
    ),
}
