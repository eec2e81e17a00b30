"""What other widgets stand on: views that are pointed at, the ring of the focus, the title bar of a dock."""
