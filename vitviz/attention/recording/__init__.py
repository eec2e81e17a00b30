"""Watching a forward pass: which operations attend, what they saw, and the autograd graph they leave.

`operations` are what was seen, `recorder` sees it, `autograd_graph` differentiates through it.
"""
