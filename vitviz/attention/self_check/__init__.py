"""The self-check: recomputed attention, times the values, against the output of the model's own operation.

`outputs` checks each operation. `place`, `order`, `shares` and `readout` check what a map claims beside its weights
(`claims`), with coded `pictures`, passes whose attention is silent (`silence`), and their gradients (`follow`).
"""
