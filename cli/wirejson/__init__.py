"""Protobuf wire bytes to JSON text, without message objects in between.

The text is what Hubble's own tools write: proto field names in declaration order, one line,
64-bit integers as strings, unset fields left out, enums by name. `writer.py` walks the bytes
with tables made from the descriptors; `render.py` has the texts of single values.
"""
