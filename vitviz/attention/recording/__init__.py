"""Recording a forward pass: its attention operations with their inputs, and its autograd graph.

`recorder` records them as `operations`; `autograd_graph` keeps the graph for gradients.
"""
