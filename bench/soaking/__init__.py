"""What a soak is made of: a server that is killed, its clients good and bad, and the accounts.

`bench.lines.soak` puts it together.
"""
