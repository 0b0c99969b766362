"""The nodes behind the relay: who they are, a connection to each, and what is known of them."""
