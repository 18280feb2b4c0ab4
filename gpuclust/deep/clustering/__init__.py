"""Clusters on the codes of a network: soft assignment, objectives, heads, and the table of methods."""
