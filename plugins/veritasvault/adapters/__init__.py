"""One file for each backend of a port; only the composition root names them."""
