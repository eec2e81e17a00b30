"""Models: what exists, how one is loaded, at which size, on which device, with which labels."""
