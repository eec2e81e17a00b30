"""One file per panel: each follows the session, none knows another, none imports torch."""
