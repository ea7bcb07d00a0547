"""A user's application with a flag that guardian watches."""
