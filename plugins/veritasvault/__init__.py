"""VeritasVault's adapters, task adapters, composition root and console command."""
