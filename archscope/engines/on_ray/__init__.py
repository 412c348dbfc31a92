"""The engine of a Ray cluster; no other folder imports Ray."""
