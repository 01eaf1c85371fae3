"""What makes files: where they go, how they are encoded, how loud they are."""
