"""Grad-CAM on tokens (Selvaraju 2017, equations 1 and 2, as pytorch-grad-cam applies it to vision transformers).

(Σ_d mean_tokens(∂y/∂z_d) · z_d)⁺ over the patch tokens z that a layer's attention module is given: in a pre-norm model the
output of the norm before the attention. The last layer is the default: behind its attention a class token alone is read, so
patch tokens have no gradient there any more.
"""

from vitviz.attention.trace import Trace
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods import class_gradients as of_class
from vitviz.explain.query import find_layer

refusal = of_class.refusal


def gradcam(trace: Trace, target: int | None = None, layer: int | str = -1) -> Heatmap:
    """Where the features are that raise the logit of class `target` (None: the top prediction) in a layer's input.

    For Swin on the layer's own stage, windows laid back. Raises MethodError where a module is not given its tokens as such.
    """
    chosen = find_layer(trace, layer)
    found = of_class.gradients(trace, target)
    stream = found.stream(chosen)
    first = len(chosen.layout.prefix)
    importance = stream.gradient[first:].mean(0)
    values = (stream.values @ importance).relu().cpu().numpy()
    return Heatmap(
        values=chosen.layout.on_grid(values),
        patches=chosen.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="gradcam",
        title=f"Grad-CAM for {of_class.called(trace, found.target)} on the input of {chosen.name}",
        unit="gradient × feature, in logits per patch",
        model_name=trace.model.full_name,
        options={"target": found.target, "layer": chosen.name},
    )
