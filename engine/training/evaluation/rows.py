"""The table: figures with intervals, held against bar and reach. In: values of seeds; out: rows, rich and JSON.

Remembers nothing; any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from rich.table import Table

from engine.training.figures import Interval, bootstrap

Samples = dict[str, list[float]]
"""Values by style, one for each seed."""
Statistic = Callable[[np.ndarray], float]
TABLE_WIDTH = 196


@dataclass(frozen=True)
class Goal:
    """The ranges that a figure must reach (`bar`) and should (`reach`), each (lowest, highest), ends included."""

    bar: tuple[float, float]
    reach: tuple[float, float]

    def verdict(self, value: float) -> str:
        """`reached`, `passed`, `FAILED`, or a dash where nothing was measured."""
        if math.isnan(value):
            return "—"
        return "reached" if _within(value, self.reach) else "passed" if _within(value, self.bar) else "FAILED"


def at_least(bar: float, reach: float) -> Goal:
    return Goal((bar, math.inf), (reach, math.inf))


def at_most(bar: float, reach: float) -> Goal:
    return Goal((-math.inf, bar), (-math.inf, reach))


def _within(value: float, span: tuple[float, float]) -> bool:
    return span[0] <= value <= span[1]


def span_text(span: tuple[float, float]) -> str:
    low, high = span
    if math.isinf(high):
        return f"≥ {low:.4g}"
    return f"≤ {high:.4g}" if math.isinf(low) else f"{low:.3g} … {high:.3g}"


@dataclass(frozen=True)
class Row:
    """One figure in every column, over all seeds and by style."""

    figure: str
    unit: str
    columns: dict[str, Interval]
    goal: Goal | None = None
    by_style: dict[str, dict[str, float]] = field(default_factory=dict)  # column, style: the figure of its seeds
    note: str = ""
    middle: tuple[float, float] | None = None
    """Where the middle 80 % of real pieces lie."""

    @property
    def verdict(self) -> str:
        """The model's, or a dash where there is nothing to reach."""
        return self.goal.verdict(self.columns["model"].mean) if self.goal and "model" in self.columns else "—"

    def without_goal(self) -> Row:
        """The same, only standing beside the others' music."""
        return replace(self, goal=None)


def weakest_styles(row: Row, count: int = 4) -> dict[str, float]:
    """The model's styles that miss the bar by most, worst first; empty where there is no bar."""
    if row.goal is None:
        return {}
    low, high = row.goal.bar
    missed = {
        style: max(low - value, value - high)
        for style, value in row.by_style.get("model", {}).items()
        if value == value
    }
    worst = sorted((style for style in missed if missed[style] > 0), key=lambda style: -missed[style])
    return {style: row.by_style["model"][style] for style in worst[:count]}


def make_row(
    figure: str,
    unit: str,
    samples: dict[str, Samples],
    goal: Goal | None = None,
    *,
    statistic: Statistic = np.mean,
    note: str = "",
) -> Row:
    """A row of `statistic` over all seeds of a column, with the same by style; NaN values are not counted."""
    overall = {
        title: bootstrap([value for values in styles.values() for value in values], statistic)
        for title, styles in samples.items()
    }
    by_style = {
        title: {style: bootstrap(values, statistic, resamples=1).mean for style, values in styles.items()}
        for title, styles in samples.items()
    }
    return Row(figure, unit, overall, goal, by_style, note)


def against_real(
    figure: str,
    unit: str,
    samples: dict[str, Samples],
    goal: Goal | None = None,
    *,
    statistic: Statistic = np.mean,
) -> Row:
    """A row whose `real` pieces say where music usually lies. Without a `goal` the model is to lie inside their middle
    80 % (reach: 50 %)."""
    row = make_row(figure, unit, samples, goal, statistic=statistic)
    found = np.array([value for values in samples.get("real", {}).values() for value in values])
    found = found[~np.isnan(found)]
    if not len(found):
        return row
    low, quarter, median, three_quarters, high = np.percentile(found, (10, 25, 50, 75, 90)).tolist()
    note = (
        f"real 10/25/50/75/90 %: {low:.3g} / {quarter:.3g} / {median:.3g} / {three_quarters:.3g} / {high:.3g} "
        f"({len(found)} tracks)"
    )
    if "model" in row.columns:
        note += f"; the model's mean lies at {100 * float((found < row.columns['model'].mean).mean()):.0f} %"
    return replace(row, goal=goal or Goal((low, high), (quarter, three_quarters)), note=note, middle=(low, high))


def rich_table(rows: Sequence[Row], titles: Sequence[str], title: str) -> Table:
    """The table as it is printed: mean, 95 % interval, bar, reach and the model's verdict."""
    table = Table(title=title, caption="value [bootstrap 95 % interval over seeds]")
    has_middle = any(row.middle for row in rows)
    for name in ("figure", "unit", *titles, *(("real, middle 80 %",) if has_middle else ()), "bar", "reach", "verdict"):
        table.add_column(name, justify="right" if name in titles else "left", no_wrap=True)
    for row in rows:
        goal = (span_text(row.goal.bar), span_text(row.goal.reach)) if row.goal else ("", "")
        style = {"FAILED": "bold red", "reached": "green"}.get(row.verdict)
        cells = (_cell(row.columns.get(name)) for name in titles)
        middle = (span_text(row.middle) if row.middle else "",) if has_middle else ()
        table.add_row(row.figure, row.unit, *cells, *middle, *goal, row.verdict if row.goal else "", style=style)
    return table


def _cell(interval: Interval | None) -> str:
    if interval is None or not interval.count:
        return "—"
    if interval.count < 2:
        return f"{interval.mean:.3g}"
    return f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def to_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows as plain values, null where there is nothing to measure and at an open end of a goal."""
    return [_plain(asdict(row) | {"verdict": row.verdict}) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return (round(value, 4) if math.isfinite(value) else None) if isinstance(value, float) else value
