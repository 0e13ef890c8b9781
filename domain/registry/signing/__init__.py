"""Who signs artifacts and checkpoints, with which keys, and since when a key no longer counts."""
