"""What the relay says about its nodes (package relay)."""
