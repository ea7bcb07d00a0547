"""Bytes in, input batches out: the hot path, and the protocol that counts each event exactly once."""
