"""Faults on a real Kafka: guardian's processes and its broker are taken away under load, and everything is counted."""
