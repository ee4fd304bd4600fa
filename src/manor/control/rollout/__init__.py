"""How a plan is carried out over the fleet: journal, parallelism, retries, outcomes, report."""
