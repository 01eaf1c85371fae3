"""Instruments measured on recordings of single notes. Run offline; not in the wheel."""
