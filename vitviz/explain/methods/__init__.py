"""The methods: one file for each way from a trace to a heatmap; `compose` and `class_gradients` serve several.

`explain.registry` names and describes them all. To add a method see there.
"""
