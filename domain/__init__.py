"""What VeritasVault's models and their registry mean; knows no scheduler, no cloud and no engine."""
