"""The photo with what lies over it: heat, grid, colour bar, prefix tokens."""
