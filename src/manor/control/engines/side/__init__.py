"""Side instances made of PostgreSQL's own programs: one tenant's files, replayed to a moment of the past, on a
private socket.
"""
