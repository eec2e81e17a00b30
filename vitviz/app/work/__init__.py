"""Work off the GUI thread: workers, progress, how threads are shared out, and failures as sentences."""
