"""The one place that knows every generator. In: `EngineConfig`; out: a `Generator`. Start-up only."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.config import EngineConfig
from engine.errors import UnknownBackend, UnknownGenerator

if TYPE_CHECKING:  # the names of generators are asked for where none is made
    from engine.generator import Generator

GENERATORS = {"score": "engine.score_generator:open_score"}
"""What makes each of ours, as `module:function`: only the one that is asked for is imported."""


def find_factory(path: str) -> Callable[[EngineConfig], Generator]:
    """The function that `module:function` names. Raises `UnknownGenerator`."""
    module, _, function = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a module that is not ours does when it is imported
        raise UnknownGenerator(path, f"{type(error).__name__}: {error}") from None
    if not callable(factory):
        raise UnknownGenerator(path, f"{function} is no function")
    return factory


def open_generator(config: EngineConfig) -> Generator:
    """Make the generator that `config.backend` names.

    Raises `UnknownBackend`, and what its maker does: `BadCheckpoint`, `DeviceMissing`.
    """
    if config.backend not in GENERATORS:
        raise UnknownBackend(config.backend, tuple(GENERATORS))
    return find_factory(GENERATORS[config.backend])(config)
