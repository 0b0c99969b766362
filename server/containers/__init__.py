"""Names of containers, from the engine that runs them (Docker, Podman), for observe mode.

`engine` speaks with its API, `documents` says which fields matter, `follow` makes changes of it:
the same that a folder of Kubernetes objects gives.
"""
