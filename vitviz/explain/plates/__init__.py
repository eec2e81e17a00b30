"""Plates: pictures of windows, position embeddings and patches, one (`plates`) or all of a model (`plate_sets`)."""
