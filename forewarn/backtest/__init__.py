"""Backtests: what the models would have said of a person's own data, one file a series.

The models and the decisions are those of the live product; a backtest only feeds them and writes
down what they say. Read `forewarn.backtest.run` first; then the file of the model that matters.
"""
