"""What runs the benchmarks: nothing (native), sentry, and the sandboxes that are installed.

Each is there twice, free and pinned to one CPU, since hand-overs cost differently; a pinned system
is compared with the pinned native run.
"""
import json
import os
import shutil
import subprocess
import tempfile

SYSTEM_DIRS = ("bin", "sbin", "lib", "lib32", "lib64")


class System:
    """A way to run a command in a directory of the host."""

    def __init__(self, name, prefix=(), baseline="native", pin=None):
        self.name, self.prefix, self.baseline = name, list(prefix), baseline
        self.pin = ["taskset", "-c", str(pin)] if pin is not None else []

    def command(self, argv, cwd):
        return self.pin + [a.replace("{cwd}", cwd) for a in self.prefix] + argv

    def pinned(self, cpu):
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.name, twin.baseline = self.name + "/1cpu", "native/1cpu"
        twin.pin = ["taskset", "-c", str(cpu)]
        return twin


class Runc(System):
    """runc on a bundle with the host's system directories; the working directory is /mnt."""

    def __init__(self, scratch):
        super().__init__("runc")
        self.scratch = scratch

    def bundle(self, argv, cwd):
        made = tempfile.mkdtemp(dir=self.scratch)
        root = os.path.join(made, "rootfs")
        os.mkdir(root)
        for d in SYSTEM_DIRS:
            if os.path.islink("/" + d):
                os.symlink(os.readlink("/" + d), os.path.join(root, d))
        subprocess.run(["runc", "spec", "--bundle", made], check=True, capture_output=True)
        config = os.path.join(made, "config.json")
        with open(config) as f:
            spec = json.load(f)
        spec["process"].update(terminal=False, args=argv, cwd="/mnt")
        spec["root"] = {"path": "rootfs", "readonly": False}
        spec["mounts"] += [
            {"destination": dst, "source": src, "type": "bind", "options": ["rbind", how]}
            for src, dst, how in (("/usr", "/usr", "ro"), ("/etc", "/etc", "ro"), (cwd, "/mnt", "rw"))]
        spec["mounts"].append({"destination": "/tmp", "source": "tmpfs", "type": "tmpfs"})
        with open(config, "w") as f:
            json.dump(spec, f)
        return made

    def command(self, argv, cwd):
        made = self.bundle(argv, cwd)
        return self.pin + ["runc", "run", "--bundle", made, os.path.basename(made)]


def works(system, cwd):
    """A sandbox that is installed but can't run here (no privileges) is left out."""
    try:
        done = subprocess.run(system.command(["/bin/true"], cwd), cwd=cwd, timeout=20, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def others(scratch):
    if shutil.which("bwrap"):
        yield System("bubblewrap", [
            "bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
            "--bind", "{cwd}", "/mnt", "--chdir", "/mnt", "--unshare-all", "--"])
    if shutil.which("runc"):
        yield Runc(scratch)
    if shutil.which("runsc"):
        yield System("runsc", ["runsc", "--rootless", "--network=none", "do"])


def find(sentry, cpu, scratch, wanted):
    """The systems that work here and whose names are wanted, native first. They may leave files in `scratch`."""
    free = [System("native"), System("sentry", [sentry, "exec", "--"]),
            System("sentry-ptrace", [sentry, "exec", "--platform", "ptrace", "--"])]
    free += others(scratch)
    found = [s for s in free + [s.pinned(cpu) for s in free] if wanted(s.name)]
    own = [s for s in found if s.name.startswith(("native", "sentry"))]
    return own + [s for s in found if s not in own and works(s, scratch)]
