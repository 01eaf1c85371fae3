"""From the voices' buses to the listener: strips, sends, room, master."""
