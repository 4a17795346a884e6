"""The Slurm script, run as it is with stand-ins for Slurm's commands and Ray's, which log what they are given."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ray.scripts.scripts import start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args, symmetric_run

from decouple_search.tune import parser

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm" / "search.sbatch"
DIRECTIVES = dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)", SCRIPT.read_text(), re.MULTILINE))
LOG = 'import json, os, sys\njson.dump(sys.argv[1:], open(os.environ["LOGS"] + "/{}", "w"))\n'
READY = 'os.write(int(os.environ["READY"]), b"+")\n'
SLURM = {
    "srun": LOG.format("srun")
    + "command = sys.argv[1:]\nwhile command[0].startswith('--'): del command[0]\nos.execvp(command[0], command)\n",
    "scontrol": "import sys\nif sys.argv[1] == 'show': print('node1\\nnode2'); sys.exit()\n" + LOG.format("scontrol"),
}
RAY = "import subprocess\ndone = subprocess.run(sys.argv[sys.argv.index('--') + 1:], close_fds=False)\n"
RAYS = {
    "works": RAY + "sys.exit(done.returncode)\n",  # as `ray symmetric-run` ends
    "never starts": "",
    "starts for long": "import signal\n" + READY + "signal.pause()\n",
}
INLINE = "import sys\nif sys.argv[1] == '-c': exec(sys.argv[2]); sys.exit()\n"
SEARCH = """
seen = {key: os.environ.get(key) for key in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_TMPDIR")}
token = os.environ["RAY_AUTH_TOKEN_PATH"]
modes = [os.stat(path).st_mode & 0o777 for path in (token, os.path.dirname(token))]
json.dump(seen | {"token": open(token).read(), "modes": modes}, open(os.environ["LOGS"] + "/seen", "w"))
"""
SEARCHES = {
    "0": "",
    "7": "sys.exit(7)\n",
    "130 when told": "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
    + READY
    + "signal.pause()\n",
    "0 when told": "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit())\n" + READY + "signal.pause()\n",
    "deaf as yet": "import signal\n" + READY + "signal.pause()\n",
}


class Job:
    """One run of the script."""

    def __init__(self, folder, ray, search, *arguments):
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        commands = {f"slurm/{name}": text for name, text in SLURM.items()}
        commands |= {
            "venv/bin/ray": LOG.format("ray") + RAYS[ray],
            "venv/bin/python": INLINE + LOG.format("python") + SEARCH,
        }
        commands["venv/bin/python"] += SEARCHES[search]
        for name, text in commands.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"#!{sys.executable} -IS\n{text}")
            file.chmod(0o755)
        self._ready, ready = os.pipe()
        own = {
            "PATH": f"{folder}/slurm:{os.environ['PATH']}",
            "VENV": f"{folder}/venv",
            "STORAGE": f"{folder}/results",
            "LOGS": str(self.logs),
            "READY": str(ready),
            "RAY_ADDRESS": "elsewhere:6379",
            "RAY_AUTH_TOKEN": "another",
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NAME": DIRECTIVES["job-name"],
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_GPUS_ON_NODE": "4",
            "SLURM_SUBMIT_DIR": str(folder),
        }
        self.process = subprocess.Popen(
            ["bash", SCRIPT, *arguments],  # noqa: S607
            env=os.environ | own,
            pass_fds=[ready],
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(ready)

    def tell(self, number):
        """Send the script alone a signal, as Slurm does, once what it started waits for one."""
        assert os.read(self._ready, 1) == b"+", "it ended before"
        self.process.send_signal(number)

    def code(self):
        """Wait for its end; its exit code."""
        _, self.stderr = self.process.communicate(timeout=60)
        return self.process.returncode

    def end(self):
        """Kill what is left of it, which is nothing unless a test failed: all that it started has the pipe open."""
        os.set_blocking(self._ready, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._ready, 1):
                pass
            return
        os.killpg(self.process.pid, signal.SIGKILL)

    def logged(self, name):
        """What a stand-in was given; None if it never ran."""
        file = self.logs / name
        return json.loads(file.read_text()) if file.exists() else None


@pytest.fixture
def job(tmp_path):
    jobs = []

    def run(search, *arguments, ray="works"):
        jobs.append(Job(tmp_path, ray, search, *arguments))
        return jobs[0]

    yield run
    for started in jobs:
        started.end()


def test_the_nodes_run_one_ray_and_the_first_the_search(job, tmp_path):
    space = str(tmp_path / "my space.yaml")
    run = job("0", "--space", space, "--trials", "3")
    assert run.code() == 0

    on_nodes = run.logged("srun")
    at = on_nodes.index("ray")
    assert on_nodes[:at] == ["--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=8"]
    assert run.logged("ray") == on_nodes[at + 1 :]
    name, *of_ray = on_nodes[at + 1 : on_nodes.index("--")]
    assert name == "symmetric-run"
    given = symmetric_run.make_context("symmetric-run", list(of_ray), resilient_parsing=True).params
    assert (given["address"], given["min_nodes"]) == ("node1:6379", 2)
    started = start.make_context("start", curate_and_validate_ray_start_args(list(of_ray))).params
    assert (started["num_cpus"], started["num_gpus"]) == (8, 4)

    flag, module, *of_search = run.logged("python")
    assert (flag, module) == ("-m", "decouple_search.tune")
    line = parser().given(of_search)
    assert (line.flags.space, line.flags.trials, line.keys) == (space, 3, {})
    assert (line.flags.storage, line.flags.name) == (f"{tmp_path}/results", "decouple_search-4711")


def test_the_users_flags_win(job):
    run = job("0", "--name", "coco", "--storage", "s3://bucket/searches")
    assert run.code() == 0
    flags = parser().given(run.logged("python")[2:]).flags
    assert (flags.name, flags.storage) == ("coco", "s3://bucket/searches")


def test_ray_asks_for_a_token_that_is_the_jobs_alone(job, tmp_path):
    run = job("0")
    assert run.code() == 0
    seen = json.loads((run.logs / "seen").read_text())
    assert re.fullmatch("[0-9a-f]{64}\n", seen["token"])
    assert seen["modes"] == [0o600, 0o700]
    assert seen["RAY_AUTH_MODE"] == "token"
    assert seen["RAY_AUTH_TOKEN"] is None  # it would count for more than the file
    assert seen["RAY_ADDRESS"] == "node1:6379"
    assert "4711" in seen["RAY_TMPDIR"]
    assert seen["token"].strip() not in json.dumps(run.logged("srun"))
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "slurm", "venv"}


@pytest.mark.parametrize("code", ["0", "7"])
def test_the_exit_code_is_the_searchs(job, code):
    run = job(code)
    assert run.code() == int(code)
    assert run.logged("scontrol") is None


def test_a_ray_that_never_started_is_no_success(job):
    run = job("0", ray="never starts")
    assert run.code() == 1
    assert "Ray did not start" in run.stderr


@pytest.mark.parametrize(
    ("search", "ray", "code"),
    [("130 when told", "works", 130), ("deaf as yet", "works", 241), ("0", "starts for long", 143)],
)
def test_notice_ends_the_search_and_queues_the_job_again(job, search, ray, code):
    run = job(search, ray=ray)
    run.tell(signal.SIGUSR1)
    assert run.code() == code
    assert run.logged("scontrol") == ["requeue", "4711"]


def test_a_search_that_ended_well_all_the_same_is_not_queued_again(job):
    run = job("0 when told")
    run.tell(signal.SIGUSR1)
    assert run.code() == 0
    assert run.logged("scontrol") is None


def test_scancel_ends_the_search_for_good(job):
    run = job("130 when told")
    run.tell(signal.SIGTERM)
    assert run.code() == 130
    assert run.logged("scontrol") is None


def test_slurm_is_asked_for_what_the_script_relies_on():
    kind, _, when = DIRECTIVES["signal"].partition("@")
    assert kind == "B:USR1"  # the script alone, and not what scancel sends
    assert int(when) >= 120
    assert DIRECTIVES["ntasks-per-node"] == "1"
    assert DIRECTIVES["open-mode"] == "append"
    assert {"requeue", "exclusive", "nodes", "gpus-per-node", "cpus-per-task"} <= set(DIRECTIVES)


def test_what_must_be_changed_is_marked():
    head = SCRIPT.read_text()
    marked = re.findall(r"^(?:#SBATCH --)?([\w-]+)=.*# CHANGE", head, re.MULTILINE)
    assert {"account", "partition", "nodes", "cpus-per-task", "gpus-per-node", "time", "VENV", "STORAGE"} == set(marked)


def test_shellcheck_finds_nothing():
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), SCRIPT], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")
