"""The stage that decides: one dense log per partition in, flag changes and the records that explain them out."""
