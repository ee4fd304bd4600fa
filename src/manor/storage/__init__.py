"""Object storage, used by both planes: local folders, S3, Google Cloud Storage, Azure."""
