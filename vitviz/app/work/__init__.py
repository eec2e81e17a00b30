"""Work in threads: workers, jobs, progress, the thread budget, and failures as sentences for the user."""
