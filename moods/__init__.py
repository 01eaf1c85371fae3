"""WHAT is heard: controls, moods, the musical clock and the course of a station. Pure Python: no torch, no sockets."""
