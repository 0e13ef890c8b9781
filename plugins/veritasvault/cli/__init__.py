"""The console command `veritas`."""
