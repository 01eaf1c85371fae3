"""Everything that makes a checkpoint. Offline: no other room imports this package."""
