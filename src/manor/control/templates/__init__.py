"""The folders that tenant databases are made from: mapping, tables, rows, and the one scan that fills in variables."""
