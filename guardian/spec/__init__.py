"""YAML and the trigger language become core types; every error is told at once, with its place."""
