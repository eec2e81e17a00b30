"""The Tokens panel: the attention matrix of a head."""
