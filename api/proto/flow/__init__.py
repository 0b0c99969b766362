"""Flows and the other things a node reports (package flow)."""
