"""What the window shows: the trace, one frozen view of it, and what is computed for both. Panels follow the session."""
