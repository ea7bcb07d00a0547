"""The pure heart: no I/O, no clock, no randomness, no logging.

Same log in, same decisions out: replay, backtest, audit and recovery are one operation.
"""
