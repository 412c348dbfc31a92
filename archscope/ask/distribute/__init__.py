"""What parallel training moves between GPUs, and what each of them holds."""
