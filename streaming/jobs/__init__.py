"""Undersong's work for files: what takes longer than an answer may, done beside the live music."""
