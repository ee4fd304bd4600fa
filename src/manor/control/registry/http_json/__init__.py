"""Sources of tenants behind HTTP and JSON: a REST API, or GraphQL.

``rest`` and ``graphql`` are the two sources; ``paged`` is what they share, on ``walk`` (all pages, or an error), ``paging``
(which page is next), ``link_header``, ``records`` (JSON to tenants), ``pushdown`` (what the API filters) and ``client`` (one
answer, or an error) with ``answers``, ``credentials``, ``trust`` and ``kept``. ``client`` alone speaks HTTP.
"""
