"""How near to human-made game music, and nearer than a General MIDI bank? See `__main__`."""
