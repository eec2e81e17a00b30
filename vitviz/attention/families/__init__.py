"""Families of models: each file maps the tokens of its models to the input.

To add a family, write a file with `matches` and `anatomy` (see `vitviz.attention.families.base.Family`) and name it in
FAMILIES. The first that matches is used; `probed`, the last, reads the layout off any module and refuses those whose layout
it cannot read.

Decision: layouts come from each family's own attributes and are compared with what is read off the model. Rejected:
guessing a square grid from the number of tokens, as most tools do; it is wrong for every non-square input, and wrong
without an error for registers and distillation tokens.
"""

from vitviz.attention.families import (
    huggingface,
    probed,
    timm_cait,
    timm_pit,
    timm_swin,
    timm_vit,
    torchvision,
)
from vitviz.attention.families.base import Family

FAMILIES: tuple[Family, ...] = (timm_vit, timm_swin, timm_cait, timm_pit, torchvision, huggingface, probed)
