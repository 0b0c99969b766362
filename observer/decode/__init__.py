"""Decode: samples from the kernel become columns, a batch at a time.

`layout.py` says what the bytes are, `classify.py` finds the samples that look like nearly all
others and `plain.py` reads those at fixed places; `walk.py` follows the headers of the odd ones,
`tunnels.py` and `sockets.py` read the rare kinds. `decoder.py` is the whole.
"""
