"""What makes a voice's sound: a kernel file for each kind of instrument, the waves they read, the filter."""
