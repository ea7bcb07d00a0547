"""The command line: every command's success and its main failure."""
