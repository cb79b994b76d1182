"""What all stand on: whole files and what fails on them, stamps, recent values, buffers, Arrow, forks, garbage."""
