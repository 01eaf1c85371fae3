"""Streams that the server sends elsewhere."""
