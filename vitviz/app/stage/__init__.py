"""The stage: the photo with its heat, one or two sides, how the heat is drawn, and what is opened there."""
