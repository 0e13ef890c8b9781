"""Task adapters: references in, one call of the domain, references out."""
