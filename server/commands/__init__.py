"""The words after `hubble-server`, but for `serve`: one file each, made known in `server.app`."""
