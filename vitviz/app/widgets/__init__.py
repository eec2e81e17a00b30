"""Pieces that know nothing of models: they draw what they are given and tell what was pointed at."""
