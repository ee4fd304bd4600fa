"""Database servers behind one port: the driver Protocol, PostgreSQL, and the embedded server."""
