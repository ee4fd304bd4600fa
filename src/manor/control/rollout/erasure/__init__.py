"""Erasing a tenant: what there is of it, taking it away step by step, and the proof."""
