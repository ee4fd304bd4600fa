"""The command line: parsing, progress and rendering only."""
