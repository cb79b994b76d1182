"""Lockfiles: a query with fingerprints of all that it stands on."""
