"""PostgreSQL as an engine.

``types``, ``expressions``, ``triggers``, ``compile``, ``isolation``, ``values`` and ``fingerprint`` are pure: they turn
declarations into SQL text and never see a connection. ``driver`` is the only module that talks to a server.
"""
