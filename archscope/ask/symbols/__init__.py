"""Costs as closed forms in the sizes that are left free."""
