"""What the drivers of relational databases share: items as JSON text, keys as bytes, conditions and pages as SQL. Pure."""
