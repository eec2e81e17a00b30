"""Where photos come from: a folder, the bundled samples, a drop or the clipboard."""
