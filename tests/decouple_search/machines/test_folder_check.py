"""Folders that not every machine can write to, as far as no Ray is needed to see that."""

import pytest

from decouple_search.machines.folder_check import _try_folder, check_folder
from decouple_search.machines.manifest import ClusterLimits, MachineType
from decouple_search.storage.opening import open_folder
from decouplenet.errors import InputError

GROWING = ClusterLimits(
    MachineType("head", {"CPU": 0.0}, 1, 1, 0), (MachineType("spot", {"CPU": 4.0, "GPU": 1.0}, 0, 8, 0),), 8
)


def test_a_relative_folder_is_refused_where_other_machines_may_train():
    with pytest.raises(InputError, match=r"--storage: '.*/results/x' is on this machine, and the cluster may add"):
        check_folder(open_folder("results", "x"), GROWING)


def test_another_machine_reads_the_drivers_file_and_writes_one(tmp_path):
    folder = open_folder(str(tmp_path), "x")
    system, path = folder.opened
    folder.write(".probe", b"driver")
    probe = f"{path}/.probe"
    assert _try_folder(system, probe, "driver", f"{probe}-node") == ""
    assert folder.names() == {".probe"}
    assert _try_folder(system, probe, "other", f"{probe}-node") == "another folder of the same name is there"
    assert "No such file" in _try_folder(system, f"{path}/none/.probe", "driver", f"{probe}-node")
