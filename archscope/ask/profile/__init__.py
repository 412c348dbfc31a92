"""Whatever the user names, measured on a device, with its count and prediction beside it."""
