"""Stratified parts: every label has its share in every part, and the parts are always the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouplenet.data.holdout import stratified_parts
from decouplenet.errors import InputError


@given(
    targets=st.integers(1, 6).flatmap(
        lambda c: st.lists(st.lists(st.integers(0, 1), min_size=c, max_size=c), min_size=1, max_size=60)
    ),
    folds=st.integers(2, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_image_is_in_one_part_and_the_parts_are_even(targets, folds):
    targets = np.array(targets, np.uint8)
    parts = stratified_parts(targets, [1 / folds] * folds)
    assert ((parts >= 0) & (parts < folds)).all()
    assert np.array_equal(parts, stratified_parts(targets, [1 / folds] * folds))
    rarest = targets.sum(0)
    rarest = int(np.argmin(np.where(rarest > 0, rarest, len(targets) + 1)))
    counts = np.bincount(parts[targets[:, rarest] == 1], minlength=folds)
    if min(targets.sum(0)[rarest], (~targets.any(1)).sum() or len(targets)) == targets.sum(0)[rarest]:
        assert counts.max() - counts.min() <= 1  # the label that is dealt out first


def test_a_rare_class_is_on_both_sides():
    rng = np.random.default_rng(1)
    targets = (rng.random((2000, 30)) < rng.random(30) * 0.3).astype(np.uint8)
    targets[:, 0] = 0
    targets[rng.choice(2000, 8, replace=False), 0] = 1
    held_out = stratified_parts(targets, [0.9, 0.1]) == 1
    assert 180 <= held_out.sum() <= 220
    assert 1 <= targets[held_out, 0].sum() <= 2
    shares = targets[held_out].sum(0) / targets.sum(0)
    assert np.abs(shares[1:] - 0.1).max() < 0.03
    random = rng.permutation(2000) < 200
    assert np.abs(shares - 0.1).mean() < np.abs(targets[random].sum(0) / targets.sum(0) - 0.1).mean()


def test_the_share_of_a_config_is_held_out(read_csv):
    text = "path,labels\n" + "".join(f"{i}.jpg,{'cat' if i < 5 else 'dog'}\n" for i in range(1, 10))
    read = read_csv(text, holdout=0.25)
    assert (len(read.train), len(read.val)) == (7, 2)
    assert sorted(read.val.targets.tolist()) == [[0, 1], [1, 0]]


def test_folds_are_disjoint_and_complete(read_csv):
    text = "path,labels\n" + "".join(f"{i}.jpg,{'cat' if i < 4 else 'dog'}\n" for i in range(1, 10))
    folds = [read_csv(text, folds=3, fold=fold) for fold in range(3)]
    assert sorted(path.name for read in folds for path in read.val.paths) == [f"{i}.jpg" for i in range(1, 10)]
    assert all(read.val.targets.sum(0).tolist() == [1, 2] for read in folds)
    assert all(len(read.train) == 6 for read in folds)


@pytest.mark.parametrize(("keys", "message"), [({"folds": 1}, "data.folds"), ({"folds": 3, "fold": 3}, "data.fold")])
def test_impossible_folds_are_refused(read_csv, keys, message):
    with pytest.raises(InputError, match=message):
        read_csv("path,labels\n1.jpg,cat\n2.jpg,cat\n", **keys)


def test_folds_of_data_with_validation_images_are_refused(read_csv):
    with pytest.raises(InputError, match="data.folds: the data names validation images"):
        read_csv("path,labels,split\n1.jpg,cat,train\n2.jpg,cat,train\n3.jpg,cat,val\n", folds=2)
