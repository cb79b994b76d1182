"""A model over the rows of a query: batches in order, written as parts of a feature set, by any number of runs."""
