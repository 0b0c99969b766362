"""Metrics of flows, for Prometheus: whole batches of rows are counted, never single flows.

    rows of a batch ──► family: which rows, which numbers make its labels
                          └──► groups of equal numbers, with counts ──► series ──► exposition

`options` reads `--metrics`, `families` has one file for each name that can stand there.
"""
