"""Training of the stages: sources of label maps, samples made from them, losses, the loop and its files."""
