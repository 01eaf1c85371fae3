"""OBS Studio steers a station: its scenes ask for moods, its microphones for a lower level. See docs/obs.md."""
