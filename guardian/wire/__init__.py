"""Bytes to types and back: what stands on each topic."""
