"""Engines: where performances are made, and what reaches the front of them."""
