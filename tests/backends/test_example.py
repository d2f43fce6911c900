"""What ``examples/shared-state`` says is true: its commands, its rights, its certificates."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.conftest import Place
from tests.backends.proxy import HttpProxy, before_store
from tests.backends.servers import S3, Postgres, free_ports
from tests.backends.test_command import APPLY, recorded, said, use
from tests.helpers.nasty import CERTIFICATES
from tests.helpers.serving import NO_CHANGES, made, serving
from tests.helpers.support import Ended, Tool

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "examples" / "shared-state" / "README.md").read_text(encoding="utf-8")
TO_A_BUCKET, TRY_IT = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.M | re.S)
[POLICY] = re.findall(r"^```json\n(.*?)^```$", GUIDE, re.M | re.S)
[GRANTS] = re.findall(r"^```sql\n(.*?)^```$", GUIDE, re.M | re.S)


def run(tool: Tool, script: str) -> str:
    """Run a block of the guide, each of whose commands must work; return what it printed."""
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{tool.environment['PATH']}"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tool.folder,
        env={**tool.environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_from_a_file_to_a_bucket_in_three_commands(
    tool: Tool, place_of: Callable[[str], Place]
) -> None:
    assert TO_A_BUCKET.count("\n") == 3
    place = place_of("s3")
    tool.manifest(2)
    with serving(tool):
        assert tool(*APPLY).code == 0
        tool.environment.update(place.environment)
        shown = run(tool, TO_A_BUCKET.replace("s3://voices/personas", place.location))
    assert shown.splitlines()[-1] == NO_CHANGES


@pytest.mark.slow
def test_it_can_be_tried_on_one_machine(tool: Tool, s3_server: S3) -> None:
    shutil.copytree(ROOT / "examples" / "quickstart", tool.folder / "examples" / "quickstart")
    script = TRY_IT
    for port, free in zip(("8333", "8765"), free_ports(2), strict=True):
        script = script.replace(port, str(free))
    shown = run(tool, f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}").splitlines()
    assert "Plan: 11 to create, 0 to resume, 0 to import, 0 to rename. 1 unchanged." in shown
    assert "Apply complete: 11 created, 0 imported, 0 renamed." in shown
    assert shown.count(NO_CHANGES) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", shown[-2])
    assert "all is well" in shown[-1]


def everything(tool: Tool) -> list[Ended]:
    """Do with a state, which has been begun, all that can be done."""
    return [
        tool(*words)
        for words in (
            ("plan",),
            APPLY,
            ("output",),
            ("state", "mv", "p-000", "q"),
            ("state", "rm", "q"),
            ("state", "unlock", "--auto-approve"),
            ("state", "verify"),
            ("state", "copy", tool.environment["PERSONASYNC_STATE"], "copied.jsonl"),
            ("plan",),
        )
    ]


def test_nothing_is_deleted_and_only_the_lease_is_written_twice(
    tool: Tool, place_of: Callable[[str], Place], s3_server: S3
) -> None:
    statements = json.loads(POLICY)["Statement"]
    assert [each["Action"] for each in statements] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
    ]
    use(tool, place_of("s3"))
    tool.manifest(70)
    tool.environment["PERSONASYNC_PARALLELISM"] = "1"  # a segment a persona: enough for a snapshot
    with serving(tool), before_store(s3_server.port) as proxy:
        tool.environment["AWS_ENDPOINT_URL"] = proxy.address
        assert tool("state", "init").code == 0
        assert [ended.stderr for ended in everything(tool) if ended.code] == []
    assert {method for method, _path in proxy.seen} == {"GET", "PUT"}
    puts = Counter(path.rpartition("/")[2] for method, path in proxy.seen if method == "PUT")
    assert {name for name, count in puts.items() if count > 1} == {"lock.json"}
    assert any(name.endswith(".gz") for name in puts)
    lists = {path for _method, path in proxy.seen if "list-type" in path}
    assert all(re.search(r"prefix=[^&]*(/|%2F)(log|snapshots|rescue)", path) for path in lists)


def test_two_grants_are_enough_to_apply(
    tool: Tool, place_of: Callable[[str], Place], postgres_server: Postgres
) -> None:
    place = place_of("postgres")
    use(tool, place)
    tool.manifest(2)
    password = {"PGPASSWORD": "just-for-tests"}
    with serving(tool) as sandbox, postgres_server.connect() as owner:
        assert tool("state", "init").code == 0
        for name in ("ci", "reader", "nobody"):
            owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'just-for-tests'")
        owner.execute(GRANTS)
        owner.execute(
            "GRANT SELECT ON personasync_state, personasync_log, personasync_rescue TO reader"
        )

        def being(name: str) -> dict[str, str]:
            return {"PERSONASYNC_STATE": place.location.replace("postgres@", f"{name}@")} | password

        assert tool("plan", "--detailed-exitcode", env=being("reader")).code == 2
        for name in ("reader", "nobody"):
            said(tool(*APPLY, env=being(name)), 1, "permission denied for table personasync_state")
        said(tool("plan", env=being("nobody")), 1, "permission denied for table")
        assert sandbox.statistics().requests == 0
        tool.environment.update(being("ci"))
        assert [ended.stderr for ended in everything(tool) if ended.code] == []
        for forbidden in ("DELETE FROM", "TRUNCATE", "UPDATE"):
            rest = "SET n = 2" if forbidden == "UPDATE" else ""
            with pytest.raises(Exception, match="the log of personasync only grows"):
                owner.execute(f"{forbidden} personasync_log {rest}")
        assert len(made(sandbox)) == 2


class _Tls(HttpProxy):
    """Speaks TLS with a certificate of an authority that nobody knows."""

    def serve(self, client: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / "server.pem")
        with context.wrap_socket(client, server_side=True) as private:
            super().serve(private)


@pytest.mark.parametrize(
    "variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE"]
)
def test_a_private_authority_is_trusted_where_it_is_named(
    tool: Tool, place_of: Callable[[str], Place], s3_server: S3, variable: str
) -> None:
    use(tool, place_of("s3"))
    tool.manifest(1)
    proxy = _Tls(s3_server.port)
    try:
        with serving(tool):
            tool.environment["AWS_ENDPOINT_URL"] = f"https://localhost:{proxy.port}"
            said(tool("state", "init"), 1, "its certificate")
            tool.environment[variable] = str(CERTIFICATES / "ca.pem")
            assert tool("state", "init").code == 0
            assert tool(*APPLY).code == 0
            assert len(recorded(tool)) == 1
    finally:
        proxy.close()
