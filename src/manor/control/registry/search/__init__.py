"""The tenant search language of ``--filter`` and ``--query``: a small part of SQL's conditions, read once, meant the same
everywhere. ``parse`` reads it, ``predicate`` is its meaning, ``sql`` compiles it, ``fields`` says what can be asked for. Pure.
"""
