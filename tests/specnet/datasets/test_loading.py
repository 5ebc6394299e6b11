from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from specnet.datasets import SpectraDataset, SpectraFile, write_spectra
from specnet.errors import DatasetError


@pytest.fixture
def path(make_table, tmp_path):
    return write_spectra(tmp_path / "spectra.h5", make_table(200, 16))


def centre(spectra: np.ndarray) -> np.ndarray:
    return (spectra - spectra.mean(axis=1, keepdims=True))[:, ::2]


@pytest.mark.parametrize("in_memory", [True, False])
def test_items_are_the_chosen_spectra_with_their_labels(path, in_memory) -> None:
    rows = [150, 3, 70]
    dataset = SpectraDataset(path, rows, in_memory=in_memory, transform=centre)
    with SpectraFile(path) as file:
        expected, labels = centre(file.read(rows)).astype(np.float32), file.labels[rows]
    assert len(dataset) == 3
    for index in range(3):
        spectrum, label = dataset[index]
        np.testing.assert_array_equal(spectrum.numpy(), expected[index])
        assert (spectrum.dtype, label.dtype, label.item()) == (torch.float32, torch.int64, labels[index])
    batch = dataset.__getitems__([2, 0])
    np.testing.assert_array_equal(batch[0][0].numpy(), expected[2])


def test_small_files_are_loaded_unless_told_otherwise(path) -> None:
    assert SpectraDataset(path).in_memory
    assert not SpectraDataset(path, in_memory=False).in_memory


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_worker_processes_read_the_same_epoch(path, context, in_memory) -> None:
    dataset = SpectraDataset(path, in_memory=in_memory)
    dataset[0]  # the parent's own handle is open when the workers start
    loader = DataLoader(dataset, batch_size=32, num_workers=2, multiprocessing_context=context)
    spectra, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    with SpectraFile(path) as file:
        np.testing.assert_array_equal(spectra.numpy(), file.read(slice(None)).astype(np.float32))
        np.testing.assert_array_equal(labels.numpy(), file.labels)
    assert not multiprocessing.active_children()


def test_a_pickled_dataset_carries_no_open_file(path) -> None:
    dataset = SpectraDataset(path, in_memory=False)
    first = dataset[0][0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.__dict__["_file"] is None
    torch.testing.assert_close(copy[0][0], first)


def test_rows_that_are_not_there_and_missing_labels_are_refused(path, make_table, tmp_path) -> None:
    with pytest.raises(DatasetError, match="has 200 spectra"):
        SpectraDataset(path, [200])
    bare = write_spectra(tmp_path / "bare.h5", make_table(labels=None, class_names=()))
    with pytest.raises(DatasetError, match="has no labels"):
        SpectraDataset(bare)
