"""Dialogs: files to open and to save to, and the choice of a model."""
