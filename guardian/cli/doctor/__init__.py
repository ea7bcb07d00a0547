"""`guardian doctor` behind the command: every check gives findings, each with what is wrong and what to do."""
