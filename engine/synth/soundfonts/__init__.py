"""Soundfonts as their files have them: chunks, presets, regions, recordings. No kernels here."""
