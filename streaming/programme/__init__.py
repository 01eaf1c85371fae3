"""Moods by the time of day and of the week. See docs/obs.md."""
