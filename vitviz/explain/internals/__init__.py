"""What a model holds besides its maps: position embeddings, patches and filters, attention logits, the logit lens."""
