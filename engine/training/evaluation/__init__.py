"""Judge the composer in figures: `python -m engine.training.evaluation --help`. Offline; no other room imports it."""
