"""What is done with backups: taken, found, verified, removed, loaded beside a tenant's database, put into its place."""
