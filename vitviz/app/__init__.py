"""The window: Qt lives here and nowhere else.

How it hangs together:

- `session.Session` owns the trace and one frozen `state.ViewState`; panels read it, ask it for changes, and follow
  its signals. Nobody else holds state, and no panel knows another. `maps.Maps` holds what is drawn of the trace.
- `worker.Worker` is one thread in which the newest request wins: each carries a generation, an answer of an older one
  is dropped, and running work is stopped at its next block. `requests` holds what runs there; torch is first imported
  there, after the window's first paint.
- `following.Following` is what panels with work of their own are made of: drawn while seen, caught up when seen again.
- `cores` shares out torch's threads, and lets work that nobody waits for make way for the pointer.
- `window.Window` builds the window; `docks.PANELS` is the one table of panels, `commands.commands()` that of commands and
  keys.
- `widgets/` draw rectangles, tiles, bars and choices, and know nothing of models; `panels/` translate the session.

Decisions:

- Charts (statistics, deletion and insertion) are pyqtgraph's; `widgets/chart` dresses its axes and takes its menu, panning
  and zooming away. Rejected: axes, ticks and layout painted by hand, as they once were, which took more code; QtCharts,
  which PySide6-Essentials lacks. Importing pyqtgraph 0.14 takes 0.35 s on two cores, as long as importing, building and
  painting all of this window (without PySide6 itself), so no panel that needs it is built before the first paint.
- Photo, mosaic and matrix are plain QWidgets and QPainter: the stage is one photo, one small image of the heat stretched
  over a rectangle, and a few lines; the mosaic is one image composed at the screen's own pixels, so it stays sharp at
  every scale. Rejected: pyqtgraph's views, whose axes and scene graph none of these wants.
- The heat is an image of one pixel per patch (a few hundred bytes), so following the pointer costs no scaling in
  Python; its colours come from `render`, as those of the PNG do.
- Few rows of softmax are computed between two frames, in the GUI thread. Whatever has to compute many weights (a readout
  of all patches, columns whose normalisers are not known yet, rollout) comes from a thread, the old picture dimmed; the
  readout's maps are kept, and columns are prepared as soon as a trace is there.
- PySide6 replaces Python's `__import__`, for a feature that is not used here; importing torch and timm then takes 0.7 s
  longer. `main.run` puts Python's own back.
- Tiles of the mosaic are laid out in bands, turned or not, whichever makes them largest: three heads fill the panel
  as twelve do.
- The accent colour means "selected" and nothing else; bars, sliders and progress are quiet.
- Keys that sliders and lists need too, such as arrows, work where the photo or the mosaic has the focus; all others in
  the whole window.
- The photo is the central widget, not a dock: it cannot be lost.
- The first picture of a first start is stored with the program and shown until torch is there (4 to 6 s later on two slow
  cores); a test holds it equal to what the bundled model gives. Rejected: an empty stage, or importing less of torch, which
  torch does not allow.
- A comparison is a second session that `comparison` links to the first by place, depth and class. Rejected: one session of
  two traces, which every panel would have to know of.
- What heads of a small trace attend to is laid ready after it (`prefetch`), so that a move costs slices and no torch. Larger
  ones are computed row by row, as everything is elsewhere.
- Panels are built when first seen, those left open the last time after the first paint. A dock takes its place then: Qt
  leaves a bar of tabs for docks that are hidden.
"""

import builtins
import os

# Read when pyqtgraph is imported, which may find several Qt bindings.
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

PYTHONS_IMPORT = builtins.__import__
"""As it is before PySide6 is imported."""
