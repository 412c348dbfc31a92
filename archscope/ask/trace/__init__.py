"""Traces of GPUs that are elsewhere → Profiles, with the count of the same network beside them."""
