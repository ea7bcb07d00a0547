"""The decide room: dense reading, the checkpoint, Faust behind its port, and kills under load."""
