"""Detection of unusual rows: what alarms are worth against labels that no detector learns."""
