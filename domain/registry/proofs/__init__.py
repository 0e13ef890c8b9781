"""Bundles that prove a version to somebody without access to the registry."""
