"""The control-plane database: what Manor did, where, and for whom."""
