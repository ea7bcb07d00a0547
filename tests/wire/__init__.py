"""What stands on each topic, byte by byte."""
