"""What every process of ours does before its own work: settings, their file, its log.

    parse (text → value)  ◄─┐
    show  (value → text)  ◄─┴─ setting (one field, one setting) ── flags, configure ── written

Nothing here is about gRPC or about a room above; the command line has its own flags and file.
"""
