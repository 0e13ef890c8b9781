"""Models for services: loaded verified from a cache that processes share."""
