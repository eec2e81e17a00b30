"""Numbers about heads and heatmaps: statistics of heads, deletion and insertion, agreement with a known mask."""
