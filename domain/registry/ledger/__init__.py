"""The append-only, Merkle-hashed log of events: appending, reading, checkpoints, receipts, witnesses."""
