"""What every tenant has: the same tables as the saas blueprint's standard plan."""
