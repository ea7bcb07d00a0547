"""The pages that are made from code; `python -m docs.made` writes them, a test says when one is out of date."""
