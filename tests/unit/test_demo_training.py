"""Training the bundled models: batches tell the truth, learners compute what timm computes, a run can be resumed."""

import json
import signal

import numpy as np
import pytest
import torch

from vitviz.demo import train
from vitviz.demo.architectures import build
from vitviz.demo.initial_weights import grow_distillation
from vitviz.demo.learners import PlainLearner, SwinLearner
from vitviz.demo.muon import Muon, orthogonal
from vitviz.demo.pool import CELLS, SIDE, Pool, training_pool
from vitviz.demo.scenes import scene
from vitviz.demo.score import score
from vitviz.demo.shapes import CLASSES
from vitviz.demo.views import varied, whole


@pytest.fixture(scope="module")
def pool():
    """24 scenes as they lie in a pool."""
    count, size = 24, SIDE // CELLS
    pictures = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    kinds, cover = np.full((count, 2), -1), np.zeros((count, 2, CELLS, CELLS), np.uint8)
    for n in range(count):
        drawn = scene(n, SIDE)
        pictures[n] = drawn.picture
        for j, (kind, mask) in enumerate(zip(drawn.kinds, drawn.masks, strict=True)):
            kinds[n, j] = CLASSES.index(kind)
            cover[n, j] = mask.reshape(CELLS, size, CELLS, size).mean(axis=(1, 3)).round()
    return Pool(pictures, kinds, cover)


def cover_by_class(drawn, cells):
    """The share of each patch that each class covers, cells×cells×(classes + 1); the last is background."""
    shares = np.zeros((cells, cells, len(CLASSES) + 1))
    side = SIDE // cells
    for row, col in np.ndindex(cells, cells):
        for kind, mask in zip(drawn.kinds, drawn.masks, strict=True):
            part = mask[row * side : (row + 1) * side, col * side : (col + 1) * side]
            shares[row, col, CLASSES.index(kind)] += part.mean() / 255
    shares[..., -1] = np.clip(1 - shares.sum(axis=-1), 0, 1)
    return shares


def test_whole_scenes_carry_their_labels(pool):
    batch = whole(pool, np.arange(24), 12)
    for n in range(24):
        drawn = scene(n, SIDE)
        assert torch.allclose(batch.weights[n], torch.from_numpy(drawn.weights))
        assert np.allclose(batch.dense[n].numpy(), cover_by_class(drawn, 12), atol=0.01)


@pytest.mark.parametrize(("patches", "grid"), [(None, 12), (None, 6), (8, 12), (6, 12)])
def test_varied_batches_are_consistent(pool, patches, grid):
    batch = varied(pool, 32, np.random.default_rng(0), patches, grid)
    side = SIDE if patches is None else 8 * patches
    cells = patches or grid
    assert batch.pictures.shape == (32, 3, side, side)
    assert batch.dense.shape == (32, cells, cells, len(CLASSES) + 1)
    assert torch.allclose(batch.weights.sum(dim=1), torch.ones(32))
    assert torch.allclose(batch.dense.sum(dim=-1), torch.ones(32, cells, cells), atol=0.02)
    assert int(batch.corner.min()) >= 0
    assert int(batch.corner.max()) <= 12 - (patches or 12)
    # The heaviest class is one the window shows.
    seen = batch.dense[..., :-1].sum(dim=(1, 2))
    assert (seen.gather(1, batch.weights.argmax(dim=1, keepdim=True)) > 0).all()


def test_pictures_and_patch_labels_turn_together():
    """An object that is the only thing on a black picture: where there is colour there is the label, however turned."""
    pictures = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    pictures[0, 8:24, 40:88] = (250, 120, 30)
    cover = np.zeros((1, 2, CELLS, CELLS), np.uint8)
    cover[0, 0, 2:6, 10:22] = 255
    batch = varied(Pool(pictures, np.array([[4, -1]]), cover), 64, np.random.default_rng(1), None, 12)
    shown = torch.nn.functional.avg_pool2d((batch.pictures.sum(dim=1, keepdim=True) > -2.9).float(), 8)[:, 0]
    assert torch.allclose(shown, batch.dense[..., 4], atol=0.01)
    assert len({tuple(one.flatten().tolist()) for one in shown}) == 8
    assert len({tuple(one.amax(dim=(1, 2)).tolist()) for one in batch.pictures}) == 6


@pytest.mark.parametrize("kind", ["vit", "deit"])
def test_the_learner_computes_what_timm_computes(kind):
    torch.manual_seed(0)
    learner = PlainLearner(kind).eval()
    torch.nn.init.normal_(learner.model.pos_embed)
    torch.nn.init.normal_(learner.model.head.weight)
    x = torch.randn(2, 3, SIDE, SIDE)
    heads = learner(x, torch.zeros(2, 2, dtype=torch.long)).heads
    assert len(heads) == (2 if kind == "deit" else 1)
    assert torch.allclose(sum(heads) / len(heads), learner.model(x), atol=1e-5)


def test_a_window_keeps_the_true_positions():
    torch.manual_seed(0)
    learner = PlainLearner("vit").eval()
    table = torch.randn_like(learner.model.pos_embed)
    learner.model.pos_embed.data = table
    x = torch.randn(2, 3, 64, 64)
    moved = learner(x, torch.tensor([[3, 2], [3, 2]])).heads[0]
    grid = table[:, 1:].unflatten(1, (12, 12))
    shifted = torch.roll(grid, (-3, -2), dims=(1, 2)).flatten(1, 2)
    learner.model.pos_embed.data = torch.cat([table[:, :1], shifted], dim=1)
    assert torch.allclose(moved, learner(x, torch.zeros(2, 2, dtype=torch.long)).heads[0], atol=1e-5)


def test_the_swin_learner_computes_what_timm_computes():
    torch.manual_seed(0)
    learner = SwinLearner().eval()
    x = torch.randn(2, 3, SIDE, SIDE)
    answers = learner(x, torch.zeros(2, 2, dtype=torch.long))
    assert torch.equal(answers.heads[0], learner.model(x))
    assert answers.dense.shape == (2, 6, 6, len(CLASSES) + 1)


def test_every_second_block_of_the_swin_shifts_in_both_stages():
    model = build("swin")
    shifts = [[block.shift_size for block in stage.blocks] for stage in model.layers]
    assert shifts == [[(0, 0), (1, 1)], [(0, 0), (1, 1), (0, 0), (1, 1)]]


def test_a_deit_begins_with_the_opinion_of_the_vit():
    torch.manual_seed(0)
    vit, deit = PlainLearner("vit").eval(), PlainLearner("deit").eval()
    grow_distillation(deit, vit)
    assert torch.equal(deit.model.pos_embed[0, 2:], vit.model.pos_embed[0, 1:])
    assert torch.equal(deit.model.head_dist.weight, vit.model.head.weight)
    x, corner = torch.randn(8, 3, SIDE, SIDE), torch.zeros(8, 2, dtype=torch.long)
    first, second = deit(x, corner).heads
    expected = vit(x, corner).heads[0]
    for opinion in (first, second):
        assert torch.nn.functional.cosine_similarity(opinion, expected).min() > 0.8
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 6, 6)])
def test_orthogonal_steps_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert values.min() > 0.3
    assert values.max() < 1.4


def test_muon_finds_the_minimum():
    torch.manual_seed(0)
    goal, matrix = torch.randn(6, 4), torch.nn.Parameter(torch.zeros(6, 4))
    kernel = torch.nn.Parameter(torch.ones(5, 2, 3, 3))
    optimiser = Muon([matrix, kernel], lr=0.1, weight_decay=0.0)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        loss = (matrix - goal).square().sum() + kernel.square().sum()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert float(loss.detach()) < 0.05


def test_the_score_counts_each_kind_of_scene():
    logits = torch.eye(8)[[3, 4, 5, 6, 7]] * 2
    logits[2, 1] = 1
    logits[3, 2] = 1
    kinds = torch.tensor([[3, -1], [0, -1], [1, 5], [6, 0], [7, 7]])
    found = score(logits, kinds)
    assert (found.top1, found.one, found.both, found.two) == (0.5, 2, 0.5, 2)


@pytest.fixture
def _interrupts():
    """Training takes over what Ctrl+C does; it is given back."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("_interrupts")
def test_a_stopped_training_goes_on_where_it_was(tmp_path, monkeypatch, pool):
    plan = train.Plan(24, batch=8, windows=((0.5, 6),))
    stop_at: list[int] = []

    def varied(*asked):
        drawn.append(len(drawn) + 1)
        if drawn[-1] in stop_at:
            signal.raise_signal(signal.SIGINT)
        return whole_pool(*asked)

    drawn: list[int] = []
    whole_pool = train.varied
    monkeypatch.setattr(train, "varied", varied)

    def run(folder):
        folder.mkdir(exist_ok=True)
        drawn.clear()
        made = train.Run("vit", plan, pool, pool, folder, 0, torch.device("cpu"))
        made.learn()
        return made

    expected = run(tmp_path / "a")
    assert (expected.done, len(drawn)) == (24, 3)
    stop_at.append(2)
    with pytest.raises(SystemExit, match="vit stopped at 16 pictures; run again to go on"):
        run(tmp_path / "b")
    stop_at.clear()
    resumed = run(tmp_path / "b")
    assert (resumed.done, len(drawn)) == (24, 1)
    found = resumed.learner.state_dict()
    for key, value in expected.learner.state_dict().items():
        assert torch.allclose(value, found[key], atol=1e-6), key


def test_pools_are_drawn_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vitviz.demo.pool.CHUNK", 5)
    first = training_pool(tmp_path, 5, 1)
    assert "drawing 5 scenes" in capsys.readouterr().out
    again = training_pool(tmp_path, 5, 1)
    assert capsys.readouterr().out == ""
    assert np.array_equal(first.pictures, again.pictures)
    assert np.array_equal(first.pictures[2], scene(2, SIDE).picture)


@pytest.mark.usefixtures("_interrupts")
def test_the_command_trains_writes_weights_and_a_card(tmp_path, monkeypatch, pool):
    monkeypatch.setattr(train, "training_pool", lambda *_: pool)
    monkeypatch.setattr(train, "validation_pool", lambda *_: pool)
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    options = ["--work", str(work), "--out", str(out), "--pictures", "64", "--threads", "1"]
    threads = torch.get_num_threads()
    try:
        train.main(["teacher", "vit", "deit", *options])
    finally:
        torch.set_num_threads(threads)
    card = json.loads((out / "deit.json").read_text())
    assert card["labels"] == list(CLASSES)
    assert card["timm"]["architecture"] == "deit_tiny_distilled_patch16_224"
    assert card["training"]["pictures"] == 64
    assert 0 <= card["training"]["validation"]["one_object_top1"] <= 1
    assert (out / "teacher.safetensors").exists()


def test_the_deit_asks_for_its_teacher(tmp_path, monkeypatch, pool):
    monkeypatch.setattr(train, "training_pool", lambda *_: pool)
    monkeypatch.setattr(train, "validation_pool", lambda *_: pool)
    with pytest.raises(SystemExit, match="train teacher first"):
        train.main(["deit", "--work", str(tmp_path), "--out", str(tmp_path)])


def test_unknown_models_are_refused_with_the_names_there_are(capsys):
    with pytest.raises(SystemExit):
        train.main(["resnet"])
    assert "no model is called resnet; there are teacher, vit, deit, swin" in capsys.readouterr().err
