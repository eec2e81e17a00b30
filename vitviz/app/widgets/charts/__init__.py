"""Curves, scatter plots and bars; the first two on pyqtgraph."""
