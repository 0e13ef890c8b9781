"""Training a registered version again from its own record, and finding where the second training differs."""
