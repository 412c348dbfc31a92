"""A network ready to be counted, the arguments of its call, and one run of it."""
