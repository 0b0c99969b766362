"""`hubble-lab`: a cluster on one machine.

Nodes and pods are network namespaces, described in YAML, with real traffic between them: the bed
of the demo and of the end-to-end tests. Everything it makes carries a run id and is removed again.
"""
