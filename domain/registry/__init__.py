"""Registration of models, the ledger that proves it, and the ports they need."""
