"""Tests of serve: a real server on a free port, on a real broker."""
