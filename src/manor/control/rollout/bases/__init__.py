"""Base backups and the log after them: taking, keeping, and laying out again for one tenant."""
