"""What every layer sees of the input image."""
