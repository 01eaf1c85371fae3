"""HOW music is made: intents in, blocks of samples out."""
