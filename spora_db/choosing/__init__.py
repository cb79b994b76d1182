"""Which rows of a query to label next: those that a model is least certain of, those least like what it has seen."""
