"""Writing whole files, what libraries raise on them, and forks: what all others stand on."""
