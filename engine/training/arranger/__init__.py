"""A rule-based teacher: writes labelled practice pieces for the model. Offline only; never heard at run time."""

from engine.training.arranger.arrange import arrange

__all__ = ["arrange"]
