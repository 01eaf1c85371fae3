"""Of phrases nobody fitted anything on, how many lead to a mood that fits them?

The held-out third of `engine/training/prompts/phrases.tsv` and, with `--fresh`, a second author's `fresh.tsv`, by
language; beside each share its bootstrap 95 % interval. What is shipped has learnt nothing that says the same as one of
them; with `--strict` a map is fitted first that has learnt nothing of the same subject either, and measured instead.
A phrase counts if the mood it leads to first is among those labelled; `either` counts a labelled style that weighs
most, too. `nothing` is the share of phrases about anything else of which the answer says that nothing was understood,
`missed` that of musical ones of which it says so. Times are those of a prompt read for the first time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict

import numpy as np

from benchmarks.harness import record
from engine.training.prompts.fit import TOO_NEAR, Phrase, fit, read_fresh, read_phrases
from moods.mood import style_names
from moods.prompt import resolve_prompt
from moods.sentence import NOTHING, use_map

RESAMPLES = 2000


def judge(phrase: Phrase) -> dict[str, bool]:
    """Which figures the phrase counts for, and whether it is right."""
    prompt = resolve_prompt(phrase.text)
    if phrase.moods == (NOTHING,):
        return {"nothing": not prompt.is_understood}
    language = phrase.language if phrase.language in ("en", "zh") else "other"
    mood = max(prompt.moods, key=lambda name: prompt.moods[name], default=None)
    style = next(iter(style_names(prompt.point.style))) if prompt.moods else None
    fits = mood in phrase.moods
    return {language: fits, f"{language} either": fits or style in phrase.styles, "missed": not prompt.is_understood}


def interval(right: list[bool]) -> dict[str, float]:
    """A share and its bootstrap interval, in percent."""
    drawn = np.random.default_rng(0).choice(np.array(right), (RESAMPLES, len(right))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    share = sum(right) / len(right)
    return {name: round(100 * float(value), 1) for name, value in (("share", share), ("low", low), ("high", high))} | {
        "phrases": len(right)
    }


def measure(phrases: list[Phrase], times_s: list[float]) -> dict[str, dict[str, float]]:
    """Every figure of `phrases`; `times_s` gets the time of each."""
    right: dict[str, list[bool]] = defaultdict(list)
    for phrase in phrases:
        begun_s = time.perf_counter()
        for figure, is_right in judge(phrase).items():
            right[figure].append(is_right)
        times_s.append(time.perf_counter() - begun_s)
    return {figure: interval(each) for figure, each in sorted(right.items())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fresh", action="store_true", help="the second author's too: seldom, or it is no test")
    parser.add_argument("--strict", action="store_true", help="of a map that has met none of the subjects; a minute")
    options = parser.parse_args()
    if options.strict:
        use_map(fit(TOO_NEAR))
    resolve_prompt("a first sentence loads the encoder")
    times_s: list[float] = []
    held_out = measure([phrase for phrase in read_phrases() if phrase.is_held_out], times_s)
    fresh = measure(read_fresh(), times_s) if options.fresh else {}
    p50, p95 = (round(1000 * float(q), 1) for q in np.quantile(times_s, (0.5, 0.95)))
    result = {
        "is_strict": options.strict,
        "held_out": held_out,
        "fresh": fresh,
        "prompt_ms_p50": p50,
        "prompt_ms_p95": p95,
    }
    record("phrases", result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
