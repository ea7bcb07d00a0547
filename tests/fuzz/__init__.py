"""Random and hostile input for every way into guardian."""
