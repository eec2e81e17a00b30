"""Sources of photos: folders, the bundled scenes, drag and drop, and the clipboard."""
