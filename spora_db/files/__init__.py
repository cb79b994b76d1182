"""What all stand on: whole files and what libraries raise on them, stamps, recent values, buffers, forks, garbage."""
