"""Instruments and styles as data: what a patch may say, and the tables that the kernels read."""
