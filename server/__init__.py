"""`hubble-server`, the process of one node.

Composes the rooms below: cluster state in, identities and policy into the datapath's maps, flows
from `observer` out through the Hubble API and metrics. `app` is the composition root.
"""
