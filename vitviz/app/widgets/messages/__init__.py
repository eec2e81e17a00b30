"""Messages in the window: notices, toasts, progress, empty states, the welcome screen and the list of shortcuts."""
