"""What PyTorch's own parallel training communicates, found without a second GPU or process."""
