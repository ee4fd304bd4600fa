"""Who the tenants are: the shared part of the rival."""
