"""A command whose own Ray dies says so and ends; a Ray that lives, or is not its own, changes nothing."""

import subprocess
import sys
import textwrap

from decouple_search.machines.ray_watch import ending_with_ray
from tests.integration.searches import wait_for_end

COMMAND = """
    import os, subprocess, sys, threading
    import psutil
    from decouple_search.machines import ray_watch
    from decouplenet.errors import InputError

    def save():
        print("saved")
        if "full" in sys.argv:
            raise InputError("--storage: away")

    ray_watch.LOOK_SECONDS = 0.05
    line = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    child, other = (subprocess.Popen(line, stdin=subprocess.PIPE) for _ in range(2))
    print(other.pid)
    with ray_watch.ending_with_ray([psutil.Process(child.pid)], "the same command resumes the search", save):
        if "fast" in sys.argv:  # as Ray itself ends a process
            sys.stdout.flush()
            os._exit(1)
        child.kill()
        threading.Event().wait()  # as Tune waits for a Ray that does not answer
"""


def run(*arguments):
    """A command whose Ray, a child process, is killed."""
    line = [sys.executable, "-c", textwrap.dedent(COMMAND), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def test_the_death_of_ray_ends_the_command_with_a_line_and_exit_code_1(tmp_path):
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("failed: Ray died: its process ")
    assert done.stderr.endswith("; the same command resumes the search\n")
    assert done.stderr.count("\n") == 1
    other, saved = done.stdout.split()
    assert saved == "saved"
    wait_for_end([int(other)])  # nothing of Ray lives on


def test_what_could_not_be_saved_is_named():
    assert "(--storage: away); the same command resumes" in run("full").stderr


def test_a_ray_that_ends_the_command_first_is_reported_too():
    done = run("fast")
    assert done.returncode == 1
    assert "failed: the command's process has ended: Ray died under it, or it was killed; the same" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_that_ends_by_itself_says_nothing_more():
    code = "import psutil\nfrom decouple_search.machines.ray_watch import ending_with_ray\n"
    code += "with ending_with_ray([psutil.Process()], 'no hint'): print('work')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("work\n", "")


def test_a_ray_that_lives_and_a_ray_of_another_process_change_nothing():
    code = "from decouple_search.machines.ray_watch import vital_processes; print(vital_processes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with ending_with_ray([], "no hint"):
        pass
