"""Blocks to bytes."""
