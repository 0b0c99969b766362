"""The service that lists a node's peers (package peer)."""
