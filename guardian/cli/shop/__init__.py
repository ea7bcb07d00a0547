"""A small shop with two pricings that really run; one of them has an honest bug that begins at some moment."""
