"""The window: Qt lives here and nowhere else.

How it hangs together:

- `session.Session` owns the trace and one frozen `state.ViewState`; panels read it, ask it for changes, and follow
  its signals. Nobody else holds state, and no panel knows another.
- `worker.Worker` is one thread in which the newest request wins: each carries a generation, an answer of an older one
  is dropped, and running work is stopped at its next block. `requests` holds what runs there; torch is first imported
  there, after the window's first paint.
- `window.Window` builds and docks panels; `actions.COMMANDS` is the one table of commands and keys.
- `widgets/` draw rectangles, tiles, bars and choices, and know nothing of models; `panels/` translate the session.

Decisions:

- Plain QWidgets and QPainter instead of pyqtgraph. The stage is one photo, one small image of the heat stretched over
  a rectangle, and a few lines; the mosaic is one image composed at the screen's own pixels. That stays sharp at every
  scale, and importing pyqtgraph alone takes longer than all of the window takes to appear.
- The heat is an image of one pixel per patch (a few hundred bytes), so following the pointer costs no scaling in
  Python; its colours come from `render`, as those of the PNG do.
- One layer's weights are computed between two frames, in the GUI thread: a few rows of softmax, no forward pass.
  Methods that take longer go through a worker of their own, where only the newest selection is computed.
- Tiles of the mosaic are laid out in bands, turned or not, whichever makes them largest: three heads fill the panel
  as twelve do.
- The accent colour means "selected" and nothing else; bars, sliders and progress are quiet.
- Keys that sliders and lists need too, such as arrows, work where the photo or the mosaic has the focus; all others in
  the whole window.
- The photo is the central widget, not a dock: it cannot be lost.
"""
