"""The Predictions panel: the likeliest classes; a click chooses the target."""
