"""Viewers ask for music: rooms where they write, what they may ask for, votes, and what is kept of it."""
