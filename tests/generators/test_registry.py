"""What makes a generator is found by name, and what cannot be found is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.backends import GENERATORS, find_factory, open_generator
from engine.config import EngineConfig
from engine.errors import UnknownBackend, UnknownGenerator
from tests.generators.pairs import open_pairs


@pytest.mark.parametrize("path", GENERATORS.values())
def test_every_name_of_ours_has_a_maker(path: str) -> None:
    assert callable(find_factory(path))


def test_one_of_another_house_is_named_by_module_and_function() -> None:
    assert find_factory("tests.generators.pairs:open_pairs") is open_pairs


def test_an_unknown_backend_does_not_silently_play_another() -> None:
    with pytest.raises(UnknownBackend, match="'mrt2'.*known: score"):
        open_generator(EngineConfig(backend="mrt2"))


@pytest.mark.parametrize(
    "path, why",
    [
        ("nowhere.at:all", "No module named 'nowhere'"),
        ("engine.backends:nothing", "no attribute 'nothing'"),
        ("engine.backends:GENERATORS", "is no function"),
        (":open_score", "Empty module name"),
        ("engine.backends", "expected module:function"),
        ("unreadable:open_it", "SyntaxError"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(
    path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unreadable.py").write_text("def open_it(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownGenerator) as caught:
        find_factory(path)
    assert why in str(caught.value) and path in str(caught.value) and "\n" not in str(caught.value)
