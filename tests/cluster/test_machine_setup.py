"""The set-up of a machine that `ray up` launches, run as Ray runs it: the packages of our lock, once."""

import re
import subprocess

from tests.cluster.files import load


class Machine:
    """A home folder in which the commands of a file run as Ray runs them over SSH; Python and uv only take notes."""

    def __init__(self, home):
        self.home, self.notes = home, home / "notes"
        tools = home / "tools"
        for folder in (tools, home / ".ray", home / "decouple_search"):
            folder.mkdir(parents=True)
        (home / ".ray" / "auth_token").write_text("secret")
        (home / "decouple_search" / "requirements.lock").write_text("ray==1\nuv==9 \\\n    --hash=sha256:99\nzarr==1\n")
        note = f'#!/bin/bash\necho "$(basename "$0") $*" >> {self.notes}\n'
        makes = (
            'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/uv"; '
            'printf "#!/bin/bash\\necho $RAY_AUTH_MODE\\n" > "$3/bin/ray"; chmod +x "$3/bin/ray"; fi\n'
            'for file in "$@"; do case $file in /dev/fd/*) cat "$file" >> '
            + str(home / "bootstrap")
            + ";; esac; done\n"
        )
        for tool in ("python3", "python3.11", "sudo"):
            (tools / tool).write_text(note + makes)
            (tools / tool).chmod(0o755)
        self.env = {"HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin"}
        (home / ".profile").write_text(f"export PATH={tools}:/usr/bin:/bin\n")

    def run(self, command):
        """What a command prints; it must succeed."""
        from ray.autoscaler._private.command_runner import _with_interactive

        line = " ".join(_with_interactive(command))
        done = subprocess.run(["/bin/bash", "-c", line], env=self.env, capture_output=True, text=True, cwd=self.home)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def set_up(self, config):
        """Run the setup; what was called for it."""
        self.notes.write_text("")
        for command in config["setup_commands"]:
            self.run(command)
        return self.notes.read_text().splitlines()


def test_setup_installs_lock_once(tmp_path):
    machine, config = Machine(tmp_path), load("aws")
    lock = tmp_path / "decouple_search" / "requirements.lock"
    whole = [
        "python3.11 -m venv .venv",
        "python -m pip install --quiet --require-hashes --requirement /dev/fd/N",
        "uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock",
    ]

    def calls():
        found = [re.sub(r"/dev/fd/\d+", "/dev/fd/N", line) for line in machine.set_up(config)]
        return [line for line in found if "ensurepip" not in line]

    assert calls() == whole
    assert (tmp_path / "bootstrap").read_text() == "uv==9 \\\n    --hash=sha256:99\n"
    assert calls() == []
    lock.write_text(lock.read_text() + "zipp==1\n")
    assert calls() == whole
    assert machine.run("ray") == "token"  # both for Ray's own commands and for who logs in
    assert (tmp_path / ".bashrc").read_text().count("RAY_AUTH_MODE") == 1
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
