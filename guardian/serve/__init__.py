"""The HTTP side: read models of what guardian says, and the door for commands and events."""
