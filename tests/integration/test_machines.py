"""Searches on several machines (`ray.cluster_utils.Cluster`): one machine is lost, and one is added."""

import pytest

from tests.integration.searches import alive_on_ray, leaderboard, read_study, read_until, start_search

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SPREAD = ("--scheduler", "none", "--workers-per-trial", "2", "--scaling.placement_strategy", "STRICT_SPREAD")


@pytest.fixture
def two_more(machines):
    """Two machines of one CPU beside the head with its two."""
    added = [machines.add_node(num_cpus=1, wait=True) for _ in range(2)]
    yield added
    for node in added:
        if node in machines.worker_nodes:
            machines.remove_node(node, allow_graceful=False)


def nodes_of_workers():
    """The machines that gang workers are or were on."""
    from ray.util.state import list_actors

    return {actor.node_id for actor in list_actors(filters=[("class_name", "=", "GangWorker")], limit=1000)}


def machine_in_use(added):
    """One of these machines that a gang works on."""
    return next(node for node in added if node.node_id in nodes_of_workers())


def assert_complete(experiment, trials, epochs):
    rows = leaderboard(experiment)
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(trials)]
    assert {(row["state"], row["epochs"]) for row in rows} == {("COMPLETE", str(epochs))}
    curves = [list(trial.intermediate_values) for trial in read_study(experiment).trials]
    assert curves == [list(range(1, epochs + 1))] * trials
    assert alive_on_ray() == []


def test_a_lost_machine_costs_no_trial_and_a_new_machine_is_used(machines, two_more, space_file, tmp_path):
    """Two trials at a time, each on two of three machines."""
    flags = (*SPREAD, "--trials", "3", "--train.epochs", "80", "--max-failures", "0")
    process = start_search(machines.address, space_file(), tmp_path, *flags)
    assert read_until(process, "trial 0001  epoch ")  # so both gangs train
    machines.remove_node(machine_in_use(two_more), allow_graceful=False)
    lines, new = [], None
    for line in process.stdout:
        lines.append(line)
        if "on a new gang" in line and new is None:
            new = machines.add_node(num_cpus=1, wait=True)
            two_more.append(new)
    out = "".join(line for line in lines if "state-dump" not in line)
    assert process.wait(timeout=60) == 0, out
    assert new is not None, out
    assert "  restarts from " in out, out
    assert sum("  epoch 1/80" in line for line in lines) <= 3  # none was trained from the beginning twice
    assert_complete(tmp_path / "x", trials=3, epochs=80)
    assert new.node_id in nodes_of_workers()


def test_a_trial_continues_with_the_workers_that_fit(machines, two_more, space_file, tmp_path):
    machines.remove_node(two_more.pop(), allow_graceful=False)
    flags = (*SPREAD, "--trials", "2", "--train.epochs", "80", "--scaling.min_workers_per_trial", "1")
    process = start_search(machines.address, space_file(), tmp_path, *flags)
    machines.remove_node(machine_in_use(two_more), allow_graceful=False)
    out = process.stdout.read()
    assert process.wait(timeout=60) == 0, out
    assert "trial 0000  continues with 1 of 2 workers" in out
    assert_complete(tmp_path / "x", trials=2, epochs=80)
