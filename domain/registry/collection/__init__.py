"""Collecting garbage: what the ledger does not list is condemned, deleted, and recorded as gone."""
