"""WHERE the music of Undersong goes: listeners, clocks, encoders, sockets."""
