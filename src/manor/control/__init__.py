"""The control plane: creates, checks and keeps the tenant databases of a fleet."""
