"""The window: Qt lives here and nowhere else.

Rooms, from the bottom up (imports run upwards only, which `lint-imports` checks):

- `ui`: theme, icons, pixels, the format of numbers. `widgets`: views and controls by kind; they know nothing of models.
- `work`: threads. A `Worker` runs one request at a time; a further one replaces it, or follows it. A `JobQueue` runs long
  work with progress, cancel and a result. `thread_budget` shares out torch's threads. `sources`: where photos come from.
- `session`: a `Session` owns the trace and one frozen `ViewState`. Panels read them, request changes and connect to its
  signals; nothing else holds state. `load` runs in the thread that opens photos and models: torch is first imported there,
  after the window's first paint. `compute` computes maps of a trace, `heatmaps` holds those that are shown.
- `dialogs`: files to open and save, the model browser, the settings of a model.
- `stage`: the photo with its heat, one side or two, and every way in. `panels`: a folder for each panel, on one base;
  `panels.catalog` is the one table of them. No panel knows another.
- `window`: the main window, its docks, menus and bars; what commands do (`command_handlers`) and when they can be used
  (`enablement`). `commands` is the one table of commands and keys.
- `main` starts the program, `show` opens the window from Python; `display` says why no window can be opened.

Decisions:

- Charts (statistics, deletion and insertion) use pyqtgraph; `widgets/charts/chart` sets its axes and switches off its menu,
  panning and zooming. Rejected: axes, ticks and layout painted by hand, which took more code; QtCharts, which
  PySide6-Essentials lacks. Importing pyqtgraph 0.14 takes 0.35 s on two cores, as long as importing, building and painting
  the rest of this window (without PySide6 itself), so no panel that needs it is built before the first paint.
- Photo, mosaic and matrix are plain QWidgets with QPainter: the stage is one photo, one small image of the heat stretched
  over a rectangle, and a few lines; the mosaic is one image composed in device pixels, so it is sharp at every scale.
  Rejected: pyqtgraph's views; these need neither axes nor a scene graph.
- The heat is an image of one pixel per patch (a few hundred bytes), so following the pointer costs no scaling in
  Python; its colours come from `render`, as those of the PNG do.
- A few rows of softmax are computed between two frames, in the GUI thread. What needs many weights (a readout of all
  patches, columns whose normalisers are not known yet, rollout) is computed in a thread while the old picture is dimmed.
  The readout's maps are kept, and columns are prepared as soon as there is a trace.
- PySide6 replaces Python's `__import__`, for a feature that is not used here; importing torch and timm then takes 0.7 s
  longer. `main.run` restores Python's own.
- Tiles of the mosaic are laid out in rows or in columns, whichever makes them larger, so that three heads fill the panel
  as well as twelve.
- The accent colour means "selected" and nothing else; bars, sliders and progress are grey.
- Keys that sliders and lists need too, such as arrows, work where the photo or a panel's picture has the focus; all others
  work in the whole window.
- The photo is the central widget, not a dock, so it cannot be closed.
- The first picture of a first start is stored with the program and shown until torch is imported (4 to 6 s later on two
  slow cores); a test compares it with what the bundled model gives. Rejected: an empty stage; importing only a part of
  torch, which torch does not allow.
- The model browser lists what the shipped tables say, read in a thread without torch and timm, so that it opens at once.
  The hub is asked about one model only: the selected one, if it is to be downloaded.
- A comparison is a second session that `session.comparison` links to the first by place, depth and class. Rejected: one
  session with two traces, which every panel would have to handle.
- The weights of all heads of a small trace are computed once and kept as NumPy arrays (`prefetch`), so that a pointer's
  move only takes slices. Larger traces compute rows when they are asked for.
- Panels are built when first seen; those that were open at the last exit are built after the first paint. A dock is added
  to the window only then, because Qt keeps a tab bar for hidden docks.
"""

import builtins
import os

# Read when pyqtgraph is imported, which may find several Qt bindings.
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

PYTHONS_IMPORT = builtins.__import__
"""As it is before PySide6 is imported."""
