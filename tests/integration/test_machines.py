"""Searches on several machines (`ray.cluster_utils.Cluster`), of which one is lost, and to which one is added."""

import pytest

from tests.integration.searches import alive, kept_study, leaderboard, run_until, start

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


def in_use(added):
    """One of the machines that a gang works on."""
    return next(node for node in added if node.node_id in nodes_of_workers())


def ended_well(experiment, trials, epochs):
    rows = leaderboard(experiment)
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(trials)]
    assert {(row["state"], row["epochs"]) for row in rows} == {("COMPLETE", str(epochs))}
    curves = [list(trial.intermediate_values) for trial in kept_study(experiment).trials]
    assert curves == [list(range(1, epochs + 1))] * trials
    assert alive() == []


def test_a_lost_machine_costs_no_trial_and_no_failure_and_a_new_one_is_used(machines, two_more, space_file, tmp_path):
    """Two trials at a time, each on two of three machines."""
    flags = (*SPREAD, "--trials", "3", "--train.epochs", "80", "--max-failures", "0")
    process = start(machines.address, space_file(), tmp_path, *flags)
    assert run_until(process, "trial 0001  epoch ")  # so both gangs train
    machines.remove_node(in_use(two_more), allow_graceful=False)
    lines, new = [], None
    for line in process.stdout:
        lines.append(line)
        if "on a new gang" in line and new is None:
            new = machines.add_node(num_cpus=1, wait=True)
            two_more.append(new)
    out = "".join(line for line in lines if "state-dump" not in line)
    assert process.wait(timeout=60) == 0, out
    assert new is not None, out
    assert "  goes on from " in out, out
    assert sum("  epoch 1/80" in line for line in lines) <= 3  # none began again
    ended_well(tmp_path / "x", trials=3, epochs=80)
    assert new.node_id in nodes_of_workers()


def test_a_trial_shrinks_to_the_machines_that_are_left(machines, two_more, space_file, tmp_path):
    machines.remove_node(two_more.pop(), allow_graceful=False)
    flags = (*SPREAD, "--trials", "2", "--train.epochs", "80", "--scaling.min_workers_per_trial", "1")
    process = start(machines.address, space_file(), tmp_path, *flags)
    machines.remove_node(in_use(two_more), allow_graceful=False)
    out = process.stdout.read()
    assert process.wait(timeout=60) == 0, out
    assert "trial 0000  goes on with 1 of 2 workers" in out
    ended_well(tmp_path / "x", trials=2, epochs=80)
