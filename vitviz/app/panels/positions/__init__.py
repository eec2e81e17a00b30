"""The Positions panel: position embeddings, and logits split into content and position."""
