"""Flags into FlowFilters: one row a flag, the rules between flags, and filters written as JSON."""
