"""Benchmarks: each line of the budgets, measured on this machine.

Prints a table and writes JSON, with the spread of the repeats. The peers it is compared with are
programs given by path; nothing is downloaded.
"""
