"""The state of the window: the trace, one frozen `ViewState`, and the maps computed from both. Panels follow the session."""
