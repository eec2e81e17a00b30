"""The Windows panel: Swin's windows, their shift, matrices and merging."""
