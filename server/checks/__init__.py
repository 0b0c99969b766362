"""What `hubble-server check` looks at: one small function a question, grouped by what is asked.

Each takes the settings of the server that would be started and returns a `Finding`. None of them
changes the machine: what is made for a question is gone with its answer.
"""
