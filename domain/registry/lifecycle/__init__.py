"""Champions and challengers: who may take whose place, decided purely, recorded in the ledger."""
