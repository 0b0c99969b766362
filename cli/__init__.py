"""`hubble`, the command line.

Flags become filters, answers become text. It meets the servers on the wire only, and starts fast:
nothing here imports bcc, and NumPy is not loaded to print a help page.
"""
