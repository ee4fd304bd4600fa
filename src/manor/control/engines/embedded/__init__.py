"""The embedded PostgreSQL: the binaries of a PyPI wheel, driven by Manor in the project's ``.manor/`` folder.

``EmbeddedServer`` is the face; everything else in this folder serves it. Linux and macOS only. Nothing here is imported by
modules that have to start fast: ``wiring`` imports ``server`` when a project has no deployment URL.
"""
