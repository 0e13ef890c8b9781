"""Scoring: what champions forecast for the sessions that the rows end with, kept for whoever uses it."""
