"""A matrix of tokens, and tables of numbers with and without colours."""
