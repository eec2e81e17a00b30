"""Controls: segmented buttons, list pickers, popovers, search fields, tool buttons."""
