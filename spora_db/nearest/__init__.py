"""The rows of a query that are most like a vector: exact, over matrices that stay on disk."""
