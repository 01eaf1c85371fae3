"""What the documents for game developers show is what the server and the clients take."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from moods.opening import parse_opening

ROOT = Path(__file__).resolve().parents[2]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_music_of_the_guide_opens_a_station() -> None:
    (music,) = blocks("docs/games.md", "json")
    opening = parse_opening(json.loads(music))
    assert set(opening.states) == {"explore", "combat", "victory"} and len(opening.transitions) == 3


@pytest.mark.parametrize("document", ["docs/games.md", "clients/python/README.md"])
def test_its_python_is_python(document: str) -> None:
    examples = blocks(document, "python")
    assert examples
    for example in examples:
        compile(example, document, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
