"""All heads of all layers as one image of tiles."""
