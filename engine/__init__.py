"""HOW Undersong makes music: intents in, blocks of samples out."""
