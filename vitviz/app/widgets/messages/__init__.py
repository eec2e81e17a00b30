"""Words in the window: notices, toasts, progress, empty states, the welcome and the sheet of keys."""
