"""The flow table: columns in a ring, interned values beside it, uuids derived from positions.

Start with `columns.py` (what a row is), then `ring.py` (how rows are kept and read).
"""
