"""The pure heart: what the fold promises, tested without a broker, a clock or a mock."""
