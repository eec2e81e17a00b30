"""Rows of pictures: the filmstrip of layers, and galleries."""
