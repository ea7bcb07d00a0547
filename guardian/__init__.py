"""Guardian: an event-driven guardian for progressive rollouts, on Kafka."""

__version__ = "0.1.0"
