"""What a codec in training is held against, one distance a file."""
