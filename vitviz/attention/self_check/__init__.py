"""The self-check: recomputed attention, times the values, against the output of the model's own operation.

`outputs` checks each operation, `windows` the masks and biases of windows that cannot see each other.
"""
