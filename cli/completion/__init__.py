"""Scripts that let shells complete `hubble` command lines, made from the tables of flags.

`outline.py` says what can stand where; each shell has a page that writes that down in its
language. The scripts ask nobody: completing is instant, and needs no server.
"""
