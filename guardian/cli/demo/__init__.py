"""`guardian demo` behind the command: the play, what has happened in it, and how it is shown."""
