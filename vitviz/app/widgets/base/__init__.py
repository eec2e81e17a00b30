"""Base classes of widgets: views that track the pointer, the focus ring, elided labels, and the title bar of a dock."""
