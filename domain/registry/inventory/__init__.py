"""The model inventory: what people see of all models at once, and of one model over time."""
