"""What spora-db keeps for a lake outside it."""
