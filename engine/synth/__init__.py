"""Notes to sound: 48 kHz stereo in blocks, patches as data, five stems, one master."""
