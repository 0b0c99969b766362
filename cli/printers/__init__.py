"""Answers into text: compact, dict and table lines, JSON, and the pieces that they share."""
