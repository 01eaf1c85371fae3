"""Where the music goes: listeners, clocks, encoders, sockets."""
