"""Windows and their cyclic shift over a photo."""
