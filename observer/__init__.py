"""One node, observed: samples from the kernel become rows, rows become answers.

The stations, in the order in which an event passes: kernel, decode, enrich, table, then filters,
query and encode for those who ask. No gRPC server and no Kubernetes here: `server` has both.
"""
