"""The Layers panel: the method after each layer, as a strip."""
