"""DynamoDB's expression language: text → nodes (``parse``, cached) → checked against values (``check``) → a meaning.

``evaluate``, ``change`` and ``project`` are the meaning of conditions, updates and projections, in plain Python; every driver
is compared with them. ``spell`` writes an expression back as text that DynamoDB accepts. Everything here is pure.
Source of the grammar: Amazon DynamoDB Developer Guide, "Expressions".
"""
