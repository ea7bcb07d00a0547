"""The fixtures that every room may use."""

from tests.brokers import broker, embedded, kafka

__all__ = ["broker", "embedded", "kafka"]
