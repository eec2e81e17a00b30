"""Heatmaps turned into pictures, with numpy and Pillow only: no Qt, no torch.

- `colors`: values → the unit interval → colours; the colour maps that are offered.
- `overlay`: a map laid over its photo, in the photo's own pixels.
- `mosaic`: the maps of all layers and heads as colour indices, each tile on its scale.
- `plot`, `strokes`: charts and how their curves are drawn; `picture_rows`, `pair`: pictures side by side.
- `lettering`: the text on all of these.
- `export`: the legend that states the scale, and PNG files written whole or not at all.

Decisions:

- A pixel belongs to the patch that its centre lies in. Patch edges come from the framing as exact positions in the
  photo, so no map is resized onto the photo, and no edge is off by rounding.
- Every style but contours is one table of 256 RGBA colours, indexed by the rounded value. The window and the
  PNG use the same table, and a 24-megapixel photo is coloured by look-up, not by arithmetic on floats.
- Smooth maps interpolate between patch centres, where they keep the exact value (cubic, Catmull-Rom), and
  never leave the range of the scale. They are a choice, not the default: a model has one value per patch.
- Glow is the default: constant opacity darkens the whole photo, so the heat's alpha follows its value.
- Only perceptually uniform colour maps that the colour-blind can read are offered, so jet and turbo are not. The default
  is viridis: of those tried on photos it differs most from fur, skin, wood and fish, on which inferno and magma are hard
  to see.
- A value has one colour wherever it appears; contours get a light or dark rim to be seen on any photo.
"""
