"""How the window looks: theme, icons, pixels and the format of numbers. Nothing here knows a widget of ours."""
