"""The topic catalogue, the settings, clients, and the embedded broker."""
