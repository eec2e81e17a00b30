"""From a trace to what is shown of it: heatmaps by every method, measures of heads and maps, and what a model holds.

`heatmap` is what every method gives: raw values per patch with their grid, title, unit and what lies on no patch (weight on
prefix tokens, leak to padding). `query` gives the rows and columns of attention that a query asks for, `registry` names and
describes the methods. In packages: `methods` (one file each), `measures` (statistics of heads, faithfulness, agreement with
a known mask), `internals` (positions, patches, logits in parts, the logit lens) and `plates` (pictures of these). No Qt.
To add a method see `registry`.

Decisions:

- Values are never rescaled or clipped here; scales, logarithms and colours belong to `render`. Rejected: normalised maps,
  which cannot be compared between photos, heads or models.
- Rollout multiplies a row vector by one layer's matrix after the other. Rejected: the product of N×N matrices, many
  times slower for one query; all queries at once are computed only on request.
- Relevance shows R − I unless asked otherwise. Rejected as the default: R itself, in which a query patch has a 1 on
  itself and a mean pool 1/N on every patch, which hides everything else. For a class token the two are the same map.
- The logit lens carries the tokens of earlier layers past the remaining blocks in one ordinary pass, so that mergings,
  norm, pool and head are the model's own code. Rejected: rebuilding each family's head here.
- Heads are compared by the cosine of their rows. Rejected: 1 − the Jensen-Shannon divergence, which takes a logarithm
  per pair and is undefined for signed weights.
- A query is always a patch of the finest grid (what one sees on the photo), also in Swin's later stages, where it stands
  for the token that its patch was merged into. Rejected: coordinates of each stage, which cannot be pointed at on the
  photo.
- This file imports nothing heavy, and `vitviz` imports it directly, so that the function `vitviz.explain` is not
  shadowed by the package of the same name.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap


def explain(trace: "Trace", method: str, **options: Any) -> "Heatmap":
    """The heatmap of `method` for a trace.

    A head that reads several parts (`trace.readout.parts`) is drawn as they are together, or as the part that `readout=`
    names: "class", "mean", "query 2".
    """
    from vitviz.explain.registry import heatmap

    return heatmap(trace, method, options)
