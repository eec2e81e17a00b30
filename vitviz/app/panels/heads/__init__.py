"""The Heads panel: every layer and head of a query as a mosaic."""
