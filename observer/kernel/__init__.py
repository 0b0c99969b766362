"""The kernel side of a node: programs, maps, perf rings and recordings of what they gave."""
