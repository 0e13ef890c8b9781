"""What VeritasVault models: data, features, targets, metrics, and the pipeline that ties them together."""
