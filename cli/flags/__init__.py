"""What can be typed: the tables of flags and commands, and how words become values."""
