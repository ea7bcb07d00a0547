"""Ingest: what is decoded, how it is summed, and that nothing is lost or counted twice whatever dies."""
