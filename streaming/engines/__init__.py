"""Engines, and what they are to the server process."""
