"""Tests of what people read: the commands on the pages are run, pages made from code are fresh, the site builds."""
