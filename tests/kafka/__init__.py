"""The brokers, the catalogue, and the clients."""
