"""Photos, and how a photo becomes a model's input and back. Pillow and numpy only; no torch, no Qt.

`photo` opens a file, an array or a Pillow image as a `Photo`: upright sRGB pixels of the whole picture.
`tiff` reads what Pillow misreads of TIFF, and `kinds` names the files that are no photos.
`colors` holds the conversions behind it (alpha, palettes, 16 bits, CMYK, colour profiles, EXIF orientation).
`framing` says how a photo is resized, cropped or padded into the model's input, and maps patches back to
polygons in the photo's own pixels.

Decisions, each with what was rejected:

- The framing repeats timm's evaluation transform with Pillow, instead of calling timm: it has to know the numbers
  (resized size, offset, padding) to map back, and opening a photo should not wait for torch. The tests compare it with
  timm's own transform, pixel for pixel.
- A photo is an array of all its pixels, instead of a lazily read file: a heatmap is laid over the photo at
  its own size, and a file may change or vanish while it is shown.
- Decoders are an explicit list, instead of everything Pillow knows: EPS would start Ghostscript on a file of unknown
  origin, and the decoders of rare formats have the most faults.
- A broken colour profile or broken EXIF data is ignored, instead of refusing the photo: the pixels are whole, and every
  viewer shows them. Damaged pixels are refused, instead of being shown as gray areas, which the model would take for a
  part of the photo.
"""
