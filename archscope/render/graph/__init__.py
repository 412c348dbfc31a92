"""Diagram → a drawing: where everything stands, and how it looks."""
