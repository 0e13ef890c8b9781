"""Whether what a champion sees and forecasts is still what it was trained on, and how good it still is."""
