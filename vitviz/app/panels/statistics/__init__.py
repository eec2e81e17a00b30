"""The Statistics panel: distance, entropy, prefix tokens and similarity of heads."""
