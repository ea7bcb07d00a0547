"""One file per command; `guardian.cli.main` is the table of them."""
