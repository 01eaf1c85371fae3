"""Wolves: a small game whose music follows the play, and whose wolves follow the music.

Arrows or WASD walk, space strikes (on the beat for good), P pauses, Esc leaves. See README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from typing import Any

import pygame
from score import OPENING, VICTORY_BARS
from world import HEIGHT, REACH, WIDTH, World

from undersong_client import ClientError, PygameMixer
from undersong_client.game import Music

TILE = 32
FRAMES_A_SECOND = 60
ON_BEAT = 0.3
"""So much of a beat, before or after it, still is on it."""
NIGHT, GRASS, HERO, WOLF, ASLEEP, HEART = (
    (18, 22, 34), (28, 44, 40), (240, 220, 160), (220, 80, 70), (110, 110, 130), (230, 90, 110),
)  # fmt: skip


class Game:
    """One play: the world, its music, and a window. All of it runs on the main thread; music has threads of its own."""

    def __init__(self, music: Music, is_played_by_itself: bool = False) -> None:
        self.music, self.world = music, World()
        self.is_played_by_itself = is_played_by_itself
        self.is_paused = False
        self.state = "explore"
        self.heard: Counter[str] = Counter()
        """How often what was heard: beats, and states by their name."""
        self._bar = self._entered_bar = 0
        self._celebration_ends: int | None = None
        """The bar with which it does."""
        self._screen = pygame.display.set_mode((WIDTH * TILE, HEIGHT * TILE))
        self._font = pygame.font.Font(None, 28)

    def run(self, seconds: float | None = None, waves: int | None = None) -> None:
        """Until it is left, so long, or so many waves were beaten and the wood is heard again."""
        clock = pygame.time.Clock()
        ends_s = None if seconds is None else time.monotonic() + seconds
        while ends_s is None or time.monotonic() < ends_s:
            if waves is not None and self.heard["explore"] >= waves:
                return
            passed_s = min(0.1, clock.tick(FRAMES_A_SECOND) / 1000)
            if not self._take_keys():
                return
            self._follow_music()
            if not self.is_paused:
                self._walk(passed_s)
                self._tell_music()
            self._draw()

    # --- the hand ----------------------------------------------------------------------------------------------------

    def _take_keys(self) -> bool:
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                return False
            if event.type == pygame.KEYDOWN and event.key == pygame.K_SPACE:
                self.world.strike(self._is_on_beat())
            if event.type == pygame.KEYDOWN and event.key == pygame.K_p:
                self.is_paused = not self.is_paused
                self.music.pause() if self.is_paused else self.music.play()
        return True

    def _walk(self, passed_s: float) -> None:
        if self.is_played_by_itself:
            right, down = self._own_way()
        else:
            keys = pygame.key.get_pressed()
            right = (keys[pygame.K_RIGHT] or keys[pygame.K_d]) - (keys[pygame.K_LEFT] or keys[pygame.K_a])
            down = (keys[pygame.K_DOWN] or keys[pygame.K_s]) - (keys[pygame.K_UP] or keys[pygame.K_w])
        self.world.move(right, down, passed_s)

    def _own_way(self) -> tuple[float, float]:
        """Where one goes who knows the game: to the nearest wolf, after a bar of peace, to strike it on the beat."""
        if not self.world.wolves or not self._is_calm_over():
            return 0.0, 0.0
        wolf = min(self.world.wolves, key=lambda each: each.distance(self.world.x, self.world.y))
        if wolf.distance(self.world.x, self.world.y) <= REACH:
            if self._is_on_beat():
                self.world.strike(True)
            return 0.0, 0.0
        return wolf.x - self.world.x, wolf.y - self.world.y

    def _is_calm_over(self) -> bool:
        return self.heard["beats"] > 0 and (self.state != "explore" or self._bar > self._entered_bar + 2)

    def _is_on_beat(self) -> bool:
        beat = self.music.beat_at(time.monotonic())
        return beat is not None and (beat[1] < ON_BEAT or beat[1] > 1 - ON_BEAT)

    # --- the music ---------------------------------------------------------------------------------------------------

    def _follow_music(self) -> None:
        """Let happen what happens on the beat."""
        for beat in self.music.beats():
            self.heard["beats"] += 1
            if not self.is_paused:
                self.world.on_beat(beat["beat"])
            if self._celebration_ends is not None and beat["bar"] >= self._celebration_ends:
                self._celebration_ends = None
                self.world.new_wave()
                self._enter("explore")
            self._bar = beat["bar"]
        for event in self.music.events():
            if event["type"] == "state":
                self.heard[event["name"]] += 1

    def _tell_music(self) -> None:
        """Tell what has happened."""
        self.music.parameter(danger=round(self.world.danger, 3))
        for what in self.world.happened:
            if what == "seen":
                self._enter("combat")
            elif what == "struck":
                self.music.hit(at="now", strength=0.6)
            elif what == "bitten":
                self.music.stinger("suspense", at="now")
            elif what == "won":
                self._enter("victory")
                self._celebration_ends = self._bar + VICTORY_BARS + 1
            elif what == "fell":
                self._enter("explore")
        self.world.happened.clear()

    def _enter(self, state: str) -> None:
        self.state, self._entered_bar = state, self._bar
        self.music.state(state)

    # --- the picture -------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        beat = self.music.beat_at(time.monotonic())
        swing = 0.0 if beat is None else (1 - beat[1]) ** 2
        self._screen.fill(NIGHT)
        for x in range(WIDTH):
            for y in range((x + self.heard["beats"]) % 2, HEIGHT, 2):  # the ground dances
                pygame.draw.rect(self._screen, GRASS, (x * TILE, y * TILE, TILE, TILE))
        for wolf in self.world.wolves:
            colour, size = (WOLF, 0.35 + 0.12 * swing) if wolf.is_awake else (ASLEEP, 0.3)
            pygame.draw.circle(self._screen, colour, (wolf.x * TILE, wolf.y * TILE), size * TILE)
        pygame.draw.circle(self._screen, HERO, (self.world.x * TILE, self.world.y * TILE), (0.35 + 0.1 * swing) * TILE)
        for heart in range(self.world.hearts):
            pygame.draw.circle(self._screen, HEART, (24 + 26 * heart, 24), 9)
        there = "" if self.music.is_connected else "   (the music's server is away: its last bars go on)"
        words = "paused" if self.is_paused else f"{self.state}   danger {self.world.danger:.1f}{there}"
        self._screen.blit(self._font.render(words, True, HERO), (16, HEIGHT * TILE - 32))
        pygame.display.flip()


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="A small game whose music follows the play.")
    parser.add_argument("--url", default="http://127.0.0.1:8400", help="where `undersong serve` is")
    parser.add_argument("--station", default="wolves", help="the name of the music")
    parser.add_argument("--seconds", type=float, help="end after so long")
    parser.add_argument("--waves", type=int, help="end after so many victories")
    parser.add_argument("--autoplay", action="store_true", help="play by itself")
    asked = parser.parse_args(arguments)
    pygame.init()
    try:
        PygameMixer.open()
        with Music(asked.url, station=asked.station, sink=PygameMixer(), **OPENING) as music:
            game = Game(music, asked.autoplay)
            game.run(asked.seconds, asked.waves)
            return dict(game.heard) | {"waves": game.world.num_waves}
    finally:
        pygame.quit()


if __name__ == "__main__":
    try:
        print(json.dumps(main()))
    except ClientError as error:
        sys.exit(f"{error}")
