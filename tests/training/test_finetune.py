"""Fine-tuning: what is learned, what is kept, and when a child counts as better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.errors import DatasetError, TrainingError
from napari_seamless.models.model import create_model
from napari_seamless.models.package import read_package, save_model
from napari_seamless.models.remembered import MAX_PATCHES
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training.finetune import finetune_options, judge
from napari_seamless.training.heads import with_classes
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.rehearsal import recalled
from napari_seamless.training.setup import prepare_training
from napari_seamless.training.split import split_examples
from tests.training.conftest import discs, example

QUICK = TrainingOptions(
    learning_rate=5e-3,
    average_decay=0.99,
    steps=40,
    steps_per_epoch=20,
    patch_size=(32, 32),
    batch_size=4,
    device="cpu",
    precision="fp32",
)
BRIEF = replace(QUICK, steps=2, steps_per_epoch=1)
CONFIG = NetworkConfig(architecture="unetpp", in_channels=1, out_channels=3, features=(8, 16), deep_supervision=True)
PARENT = create_model(CONFIG, task="instances", name="parent")
EXAMPLES = [example(number) for number in range(4)]


def masks(examples):
    return [replace(one, labels=(one.labels > 0).astype(np.uint8)) for one in examples]


def test_a_child_that_learned_is_better_and_knows_its_parent():
    events = []
    result = ns.finetune(PARENT, EXAMPLES, options=QUICK, on_event=events.append)
    assert result.after["iou"] > result.before["iou"] + 0.2
    assert (result.judged, result.better, result.model.parent, result.model.name) == (
        True,
        True,
        "parent",
        "parent-finetuned",
    )
    assert result.verdict.startswith("better on your validation regions: IoU 0.")
    (told,) = [event.fields for event in events if event.name == "comparison"]
    assert told["after"] == result.after
    assert told["verdict"] == result.verdict


def test_a_child_remembers_what_it_learned_and_its_own_child_rehearses_it(tmp_path):
    first = ns.finetune(PARENT, EXAMPLES, options=BRIEF)
    assert len(recalled(first.model)) == 4
    assert sorted(one.role for one in recalled(first.model)) == ["train", "train", "train", "validation"]
    parent = read_package(save_model(first.model, tmp_path / "first"))
    others = [example(number, dataset="new") for number in range(10, 13)]
    second = ns.finetune(parent, others, options=BRIEF)
    assert set(second.rehearsal_before) == set(second.after)
    assert "earlier images" in second.verdict
    names = {one.name for one in recalled(second.model)}
    assert any("image 11" in name for name in names)
    assert any("image 2" in name for name in names)


def test_memory_is_bounded():
    many = [example(number) for number in range(MAX_PATCHES + 20)]
    result = ns.finetune(PARENT, many, options=BRIEF)
    roles = [patch.role for patch in result.model.load_examples()]
    assert (roles.count("train"), roles.count("validation")) == (MAX_PATCHES * 3 // 4, 13)


def test_a_remembered_patch_is_scaled_like_the_whole_image():
    image, labels = discs(0, (64, 400))
    image[:, 300:] = 255
    one = ns.Example(image, labels, box=((0, 64), (0, 100)), name="wide")
    setup = prepare_training([one], PARENT, BRIEF)
    whole = setup.drawer.sources[0].intensity_range
    model = ns.finetune(PARENT, [one], options=BRIEF).model
    (again, *_) = recalled(model)
    assert again.image.sizes["X"] <= 100
    assert (again.intensity.low, again.intensity.high) == (whole.low, whole.high)


def test_rehearsed_examples_keep_their_part_and_roles_of_new_ones_are_free():
    old = [replace(example(number), rehearsed=True, role="train") for number in range(6)]
    new = [example(number, dataset="new") for number in range(20, 24)]
    setup = prepare_training([*new, *old], PARENT, BRIEF)
    from napari_seamless.training.patches import REHEARSED_SHARE, source_weights

    weights = source_weights(setup.drawer.sources)
    rehearsed = np.array([source.plane.example.rehearsed for source in setup.drawer.sources])
    assert weights[rehearsed].sum() == pytest.approx(REHEARSED_SHARE)
    assert {place.plane.example.dataset for place in setup.validation} == {"new"}
    split = split_examples([*new, replace(old[0], role="validation"), *old[1:]], 2, (8, 8), 0.2, 0)
    assert [plane.example.rehearsed for plane in split.validation] == [False, True]


SCORES = {"score": 0.7, "iou": 0.7}


@pytest.mark.parametrize(
    ("after", "rehearsal_after", "better", "words"),
    [
        (0.7, 0.7, True, "unchanged on your validation regions: IoU 0.70 → 0.70; unchanged on earlier images"),
        (0.8, 0.695, True, "better on your validation regions: IoU 0.70 → 0.80; unchanged on earlier images"),
        (0.8, 0.5, False, "worse on earlier images: IoU 0.70 → 0.50"),
        (0.69, 0.9, False, "worse on your validation regions"),
    ],
)
def test_only_a_child_that_is_not_worse_is_better(after, rehearsal_after, better, words):
    scores = [{"score": value, "iou": value} for value in (after, rehearsal_after)]
    judged, is_better, verdict = judge(SCORES, scores[0], SCORES, scores[1])
    assert (judged, is_better) == (True, better)
    assert words in verdict


def test_without_anything_held_out_nothing_is_claimed():
    result = ns.finetune(PARENT, [example(0, (40, 40))], options=BRIEF)
    assert (result.judged, result.better, result.after) == (False, False, {})
    assert "cannot be judged" in result.verdict


def test_the_same_seed_gives_the_same_child():
    weights = [ns.finetune(PARENT, EXAMPLES, options=BRIEF).model.network.state_dict() for _ in range(2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_steps_and_seconds_are_budgets():
    assert finetune_options(PARENT).seconds == 60
    assert finetune_options(PARENT, steps=3).seconds is None
    assert finetune_options(PARENT).patch_size == (128, 128)
    result = ns.finetune(PARENT, EXAMPLES, steps=1, options=replace(BRIEF, steps=None))
    assert result.history[-1]["step"] == 1
    with pytest.raises(TrainingError, match="until_stopped means no limit"):
        ns.finetune(PARENT, EXAMPLES, seconds=5, options=replace(BRIEF, steps=None, until_stopped=True))


def test_a_2d_model_goes_on_learning_from_a_stack_whose_planes_it_remembers():
    stack = example(1, (3, 48, 48))
    child = ns.finetune(PARENT, [stack], options=BRIEF).model
    assert {len(patch.axes) for patch in child.load_examples()} == {2}
    grandchild = ns.finetune(child, [stack, example(0)], options=BRIEF).model
    assert grandchild.parent == "parent-finetuned"


def test_examples_that_do_not_fit_are_refused_before_training():
    volumes = create_model(replace(CONFIG, spatial_dims=3), task="instances", name="volumes")
    with pytest.raises(DatasetError, match=r"all images must be 2D or all 3D.*or a 2D network"):
        ns.finetune(volumes, [example(0), example(1, (20, 32, 32))], options=BRIEF)


SEMANTIC = create_model(replace(CONFIG, out_channels=2), classes=("background", "cell"), name="cells")


def test_an_added_class_changes_nothing_until_it_is_learned():
    grown = with_classes(SEMANTIC, ("background", "cell", "dirt"))
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    before = ns.predict_probabilities(image, SEMANTIC, axes="YX")
    after = ns.predict_probabilities(image, grown, axes="YX")
    assert after.shape == (3, 64, 64)
    np.testing.assert_allclose(after[:2] / after[:2].sum(axis=0), before, atol=1e-5)
    assert after[2].max() < 0.1


def test_one_output_becomes_two_that_say_the_same():
    single = create_model(replace(CONFIG, out_channels=1), name="single")
    several = with_classes(single, ("background", "foreground", "dirt"))
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    one = ns.predict_probabilities(image, single, axes="YX")
    both = ns.predict_probabilities(image, several, axes="YX")[:2]
    np.testing.assert_allclose(both[1] / both.sum(axis=0), one[0], atol=1e-5)


def test_a_new_class_can_be_learned():
    labelled = masks(EXAMPLES)
    for one in labelled:
        one.labels[:20, :20] = 2
    result = ns.finetune(SEMANTIC, labelled, options=BRIEF, classes=("background", "cell", "dirt"))
    assert result.model.classes == ("background", "cell", "dirt")
    assert result.before == {}
    with pytest.raises(DatasetError, match="holds the value 2"):
        ns.finetune(SEMANTIC, labelled, options=BRIEF)


def test_another_task_gets_new_heads_on_the_same_network():
    result = with_classes(PARENT, ("background", "cell"), "semantic")
    assert (result.task, result.classes) == ("semantic", ("background", "cell"))
    old, new = PARENT.network.state_dict(), result.network.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old if not name.startswith("classifiers"))


def test_known_classes_keep_their_places():
    with pytest.raises(TrainingError, match="classes can be added at the end only"):
        with_classes(SEMANTIC, ("background", "dirt", "cell"))
