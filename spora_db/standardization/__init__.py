"""Specs, the tables behind them, and the fused transform."""
