"""What training or inference will hold in memory: how it is set, predicted, and made to fit."""
