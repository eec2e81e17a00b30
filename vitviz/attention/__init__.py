"""Record the inputs of every attention operation of a forward pass, and compute its exact weights from them.

`recording` observes the pass, `families` map tokens to the input, `self_check` compares with the model's own operations,
`readout` says what the prediction is read from, `proof` proves what a map claims beside its weights, `trace` combines
them, `layer` computes rows, columns and whole matrices. On a trace: `gradients` differentiates a class's logit, `replay`
runs the model again for the logits of attention that is not fused, `model_check` is what `vitviz check` reports. No Qt.

Decisions:

- Record, do not replace. A function mode sees the operation itself and hooks say which module runs. Rejected: hooks on
  dropout or softmax modules (see nothing when attention is fused) and switching fused attention off (other numbers, N×N
  memory, and models that ignore the switch).
- A map claims five things: weights, shares, place, order and readout. Each has its own verdict, proved once per model, input
  size and precision (`proof`, `self_check`), and again when weights, hooks or the mode have changed. A claim that fails
  refuses what needs it and nothing else. Rejected: one badge for the weights, which stood over mirrored maps, parallel
  branches composed as a chain, and readouts that were not the model's.
- A readout is a set of parts. Unless one is chosen, single rows of attention are drawn (the queries of a pool together, or
  the prefix tokens together), and what else the head reads is said. Rejected: the first query of a pool, which the head
  prefers to no other, and a mean over parts of different kinds.
- Place is read by touch: coded pictures through the model while each token attends to itself alone. Rejected: pixel by pixel
  (two hundred times the passes), and trust in a class, whose subclasses and hooks may move tokens.
- Writes into weights are noticed by their version counters. Writes through `.data` or NumPy leave those as they are and are
  noticed only where numbers become non-finite.
- Keep q, k, v and bias, not N×N; a row is one small product. (A bias per head, as BEiT's, is itself N×N and is kept.)
  Rejected: storing every matrix (21 times the memory at 1024²).
- The weights of a layer are what the model multiplies with the values, so that A·V is the operation's own output and can
  be checked. For CaiT these are the mixed heads, whose rows do not sum to 1; methods that need rows of sum 1 refuse
  them.
- Gradients come from a pass through fused attention, by ∂y/∂A = (∂y/∂O) Vᵀ. Rejected: an unfused pass that stores
  every N×N with its gradient, and hooks on softmax modules, which fused attention passes by.
- A trace keeps no autograd graph unless gradients are requested; then the graph is kept for further classes if it is not
  too large. Rejected: a graph for every trace (at 518 pixels it takes three times the memory of the trace) and a forward
  pass per class.
- Where attention is not fused a trace keeps weights, and a row's logits come from one more pass that ends at its layer and
  is compared with what was recorded. Rejected: keeping every layer's q, k and logits for the one row that is asked about.
- One forward pass per model at a time, because hooks are called for the passes of every thread. Rejected: a copy of the
  model per thread.
- nn.MultiheadAttention is recorded from its inputs by a hook alone: with a function mode it would not take its native
  fast path, and the logits would differ in the last digit.
"""
