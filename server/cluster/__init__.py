"""The cluster as Kubernetes describes it: typed objects, where they come from, what they say.

`read` turns documents into the values of `objects`, `folder` delivers them and their changes from
YAML files, `state` holds the present ones and answers questions across them.
"""
