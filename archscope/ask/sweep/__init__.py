"""A grid of networks, counted one after another or by several processes."""
