"""WHAT Undersong plays: controls, moods, clock, the course of a station. Pure Python: no torch, no sockets."""
