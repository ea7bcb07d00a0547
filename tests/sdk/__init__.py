"""Tests of the room that applications import."""
