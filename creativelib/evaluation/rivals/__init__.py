"""Rivals from the literature, each in a file of its own."""
