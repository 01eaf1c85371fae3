"""Ways a listener is reached; each module is thin and imports its own library."""
