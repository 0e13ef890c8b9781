"""Flows of vaults: a generator of them with planted attacks, and features that show the attacks."""
