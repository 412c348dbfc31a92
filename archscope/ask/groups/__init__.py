"""The effect of the group count."""
