"""Hostile inputs on every topic that guardian reads; a short run is in `make test`, the long one is `make fuzz`."""
