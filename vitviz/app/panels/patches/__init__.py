"""The Patches panel: patches as the model sees them, filters and embeddings."""
