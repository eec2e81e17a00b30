"""The look of the window: theme, icons, pixels and number format. Nothing here imports a widget of ours."""
