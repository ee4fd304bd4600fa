"""What is done with backups: taken, loaded beside a tenant's database, put into its place."""
