"""Formulas of operators that few networks use, by their field; the common ones are in `ops`."""
