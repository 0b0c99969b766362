"""What we add to the Hubble API (package leavitt)."""
