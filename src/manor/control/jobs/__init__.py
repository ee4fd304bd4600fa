"""The durable engine behind a port: batches of tenants, handed to whoever carries them out."""
