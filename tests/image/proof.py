"""The built image, run as a cluster runs it, in namespaces of its own: read-only root, user 65532, no right to gain
any, and no program in it but Python. Says what it saw; fails at the first thing that is not so.

    proof.py ROOT IMAGE.json REVISION     (as root, in a mount and a network namespace that are thrown away)
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import http.client
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 60.0
START_SECONDS = 2.0
STARTS = 5
ADMIN_PORT = 9090
UP, SET_FLAGS = 0x1, 0x8914  # IFF_UP, SIOCSIFFLAGS
BIND, READ_ONLY, REMOUNT, PRIVATE, DEEP = 4096, 1, 32, 1 << 18, 16384
CONFIGURATION = {
    "backends": {"pbx": {"vendor": "genesys", "base_url": "https://192.0.2.1/api/v2", "username": "gateway"}},
    "routes": [{"backends": ["pbx"]}],
}
LOOK = """
import json, os, shutil
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
said = {name: status[name].split() for name in ("Uid", "Gid", "Groups", "CapEff", "CapBnd", "NoNewPrivs")}
said["read_only"] = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
places = ("/", "/tmp", "/venv", "/etc/gateway", "/run", "/data")
said["writable"] = [place for place in places if os.access(place, os.W_OK)]
programs = ("sh", "bash", "dash", "cat", "env", "ls", "pip", "apt-get")
said["programs"] = [name for name in programs if shutil.which(name)]
print(json.dumps(said))
"""

COMPILED = """
import gateway.cli.serve, gateway.app, importlib.util, sys
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
loaded = [name for name in files if name.startswith("/venv/") and name.endswith(".py")]
def fits(name):
    with open(importlib.util.cache_from_source(name), "rb") as file:
        head = file.read(8)
    return head == importlib.util.MAGIC_NUMBER + b"\\1\\0\\0\\0"  # by hash, and taken as it is
print(sum(map(fits, loaded)), len(loaded))
"""

_libc = ctypes.CDLL(None, use_errno=True)


class Image:
    """The root file system, with what is mounted into it, and what the recipe says about running it."""

    def __init__(self, root: Path, described: dict[str, Any]) -> None:
        self.root = root
        self.config = described["Config"]
        self.user = str(self.config["User"])
        self.health: list[str] = described["Healthcheck"]["Test"]
        self.size = int(described["Size"])

    def line(self, *arguments: str) -> list[str]:
        """A command line that runs in the image as its first process."""
        environ = [*self.config["Env"], "GATEWAY_SECRETS_DIR=/run/gateway/secrets"]
        spaces = ["unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root}/proc"]
        drop = ["setpriv", "--no-new-privs", "chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        # The image's own Python sets the variables: it has no other program.
        setter = "import os, sys; i = sys.argv.index('--'); e = dict(v.split('=', 1) for v in sys.argv[1:i]); "
        setter += (
            "os.environ.clear(); os.environ.update(e); os.chdir('/'); os.execvp(sys.argv[i + 1], sys.argv[i + 1:])"
        )
        return [*spaces, *drop, "/usr/bin/python3", "-I", "-c", setter, *environ, "--", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )


def mount(source: str, target: Path, kind: str, flags: int) -> None:
    words = source.encode(), str(target).encode(), kind.encode(), flags, None
    if _libc.mount(*words):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def bound(source: Path, target: Path) -> None:
    mount(str(source), target, "", BIND)
    mount("", target, "", BIND | REMOUNT | READ_ONLY)


def laid_out(root: Path, user: int) -> None:
    """The image as a read-only root: the volume, the configuration and the secrets are all that is mounted, and every
    program but Python is covered by nothing."""
    mount("", Path("/"), "", PRIVATE | DEEP)
    mount(str(root), root, "", BIND)
    for name in ("proc", "etc/gateway", "run/gateway/secrets"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/gateway/gateway.yaml").write_text(json.dumps(CONFIGURATION))
    keys = {f"audit__{name}": secrets.token_bytes(32) for name in ("hmac_key", "signing_key", "pepper")}
    for name, key in keys.items():
        (root / "run/gateway/secrets" / name).write_bytes(base64.b64encode(key))
    (root / "run/gateway/secrets/backends__pbx__password").write_text("word")
    for file in (root / "run/gateway/secrets").iterdir():
        os.chown(file, 0, user)
        file.chmod(0o440)
    nothing = root / "etc/nothing"
    nothing.touch(mode=0o400)
    for program in sorted((*(root / "usr/bin").iterdir(), *(root / "usr/sbin").iterdir())):
        if not program.name.startswith("python3") and program.is_file() and not program.is_symlink():
            bound(nothing, program)
    data = root / "data"
    mount("tmpfs", data, "tmpfs", 0)
    os.chown(data, user, user)
    data.chmod(0o700)
    mount("", root, "", BIND | REMOUNT | READ_ONLY)


def loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP))


def asked(path: str) -> int:
    """The status of an answer; 0 when nobody answers."""
    admin = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=2)
    try:
        admin.request("GET", path)
        return admin.getresponse().status
    except OSError:
        return 0
    finally:
        admin.close()


@contextmanager
def serving(image: Image) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """The gateway as the image starts it: the process, its id out here, and how long it took to be ready."""
    begin = time.monotonic()
    words = [*image.config["Entrypoint"], *image.config["Cmd"]]
    process = subprocess.Popen(image.line(*words), stdout=subprocess.PIPE)
    try:
        while asked("/readyz") != http.HTTPStatus.OK:
            if process.poll() is not None or time.monotonic() - begin > PATIENCE_SECONDS:
                sys.exit("it does not start")
            time.sleep(0.01)
        took = time.monotonic() - begin
        inner = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        yield process, inner, took
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def used(process: int) -> float:
    """Seconds of a core."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(what: str, *, true: bool, saw: object) -> None:
    sys.stdout.write(f"{'ok' if true else 'NOT SO'}  {what}: {saw}\n")
    if not true:
        sys.exit(1)


def prove(image: Image, revision: str) -> None:
    labels = image.config["Labels"]
    shown("labels", true=labels["org.opencontainers.image.revision"] == revision, saw=labels)
    said = json.loads(image.run("python", "-c", LOOK).stdout)
    user = image.user.split(":")[0]
    safe = said["Uid"] == said["Gid"] == [user] * 4 and user != "0" and said["CapEff"] == ["0" * 16]
    shown("another user than root, without any capability", true=safe and said["NoNewPrivs"] == ["1"], saw=said)
    shown(
        "nothing but the volume can be written",
        true=said["read_only"] and said["writable"] == ["/data"],
        saw=said["writable"],
    )
    shown("no program but Python", true=said["programs"] == [], saw=said["programs"])
    built = image.run(
        "python", "-c", "import importlib.util as u; print([u.find_spec(n) for n in ('pip', 'flit_core')])"
    )
    shown("what built it is gone", true=built.stdout.strip() == "[None, None]", saw=built.stdout.strip())
    compiled = image.run("python", "-c", COMPILED)
    fit, loaded = (int(word) for word in compiled.stdout.split() or (0, 1))
    shown(
        "compiled when it was built", true=fit == loaded > 0, saw=f"{fit} of {loaded} modules {compiled.stderr[-300:]}"
    )
    api = image.run("redaction-gateway", "openapi").stdout
    shown("openapi", true=json.loads(api) == json.loads(Path("openapi.json").read_text()), saw=f"{len(api)} characters")
    checked = image.run("redaction-gateway", "check")
    shown("check", true=checked.returncode == 0, saw=checked.stdout.splitlines()[-1:] or checked.stderr)
    lives(image)


def lives(image: Image) -> None:
    """Start, health, SIGTERM, several times on the same volume."""
    health = image.health
    shown("health without a gateway", true=image.run(*health[1:]).returncode != 0, saw="not healthy")
    starts = []
    for number in range(STARTS):
        with serving(image) as (process, inner, took):
            # What a busy machine kept it waiting for a core says nothing about the image.
            waited = sum(int(file.read_text().split()[1]) for file in Path(f"/proc/{inner}/task").glob("*/schedstat"))
            starts.append((round(took, 2), round(max(took - waited / 1e9, used(inner)), 2)))
            status = Path(f"/proc/{inner}/status").read_text()
            if number == 0:
                ran = image.run(*health[1:])
                shown("health", true=health[0] == "CMD" and ran.returncode == 0, saw=ran.returncode)
                shown(
                    "first process", true="NSpid:" in status and status.split("NSpid:")[1].split()[1] == "1", saw=inner
                )
                memory = status.split("VmRSS:")[1].split()[0]
                shown("memory", true=True, saw=f"{int(memory) // 1024} MiB")
            begin = time.monotonic()
            os.kill(inner, getattr(signal, image.config.get("StopSignal", "SIGTERM")))
            out, _ = process.communicate(timeout=PATIENCE_SECONDS)
            events = [json.loads(line)["event"] for line in out.splitlines()]
            shown(
                f"SIGTERM {number + 1}",
                true=process.returncode == 0 and "gateway.stopped" in events,
                saw=f"exit 0 after {time.monotonic() - begin:.2f} s",
            )
    best = min(own for _, own in starts)
    shown(
        f"ready within {START_SECONDS} s",
        true=best <= START_SECONDS,
        saw=f"{starts} (by the clock, without waiting for a core)",
    )
    shown("size", true=True, saw=f"{image.size // 2**20} MiB with this base")


if __name__ == "__main__":
    built = Image(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())[0])
    loopback()
    laid_out(built.root, int(built.user.split(":")[0]))
    prove(built, sys.argv[3])
