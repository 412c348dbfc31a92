"""Closed forms from counts at several sizes."""
