"""The articles of reports/: which data each needs, and its sentences."""
