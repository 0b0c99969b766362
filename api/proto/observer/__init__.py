"""The service that answers questions about flows (package observer)."""
