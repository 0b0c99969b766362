"""Commands of `hubble-relay` that look and start nothing."""
