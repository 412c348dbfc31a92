"""Limits from a TOML file, and what networks take of them."""
