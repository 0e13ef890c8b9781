"""One strict parser for each format that an artifact may hold."""
