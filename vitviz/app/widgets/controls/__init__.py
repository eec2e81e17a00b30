"""Things to choose with: segmented buttons, list pickers, popovers, search fields, tool buttons."""
