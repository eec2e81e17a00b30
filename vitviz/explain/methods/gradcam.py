"""Grad-CAM on tokens (Selvaraju 2017, equations 1 and 2, as pytorch-grad-cam applies it to vision transformers).

(Σ_d mean_tokens(∂y/∂z_d) · z_d)⁺ over the patch tokens z that a layer's attention module is given: in a pre-norm model
the output of the norm before the attention. The last layer is the default: after its attention only the class token is
read, so patch tokens have no gradient there.
"""

from vitviz.attention.trace import Trace
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods import class_gradients as of_class
from vitviz.explain.query import find_layer

refusal = of_class.refusal


def gradcam(trace: Trace, target: int | None = None, layer: int | str = -1) -> Heatmap:
    """Where a layer's input has the features that raise the logit of class `target` (None: the top prediction).

    For Swin on the grid of the layer's own stage. Raises MethodError where a module's input is not the layer's tokens.
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
