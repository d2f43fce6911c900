"""Manifests, states and zones of any size, the same every time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import md5
from pathlib import Path

API = "https://apibox.erweima.ai"

_OCTODNS = """\
providers:
  source:
    class: octodns.provider.yaml.YamlProvider
    directory: source
    default_ttl: 300
  target:
    class: octodns.provider.yaml.YamlProvider
    directory: target
    default_ttl: 300
zones:
  example.com.:
    sources: [source]
    targets: [target]
"""


def persona(number: int) -> dict[str, str | int]:
    """Return one persona, with every field that people write."""
    return {
        "taskId": _uuid("task", number // 2).replace("-", ""),
        "audioId": _uuid("audio", number),
        "name": f"Persona {number:06}",
        "description": f"A warm and steady voice, number {number}, over brushes and upright bass;"
        " close to the microphone, dry and unhurried, with a smile on the last line",
        "vocalStart": 0,
        "vocalEnd": 30,
        "style": "Electronic Pop",
    }


def write_manifest(folder: Path, count: int) -> None:
    """Write a manifest of so many personas."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "personas.yaml").open("w", encoding="utf-8") as file:
        file.write("version: 1\npersonas:\n")
        for number in range(count):
            file.write(f"  p-{number:06}:\n")
            file.writelines(f"    {key}: {value}\n" for key, value in persona(number).items())


def write_state(folder: Path, count: int) -> None:
    """Write a compacted state in which so many personas are recorded."""
    with (folder / "personas.state.jsonl").open("w", encoding="utf-8") as file:
        header = {"format": "personasync.state/1", "lineage": "0" * 32, "api": API}
        file.write(_line(header))
        for number in range(count):
            entry = {
                "audioId": _uuid("audio", number),
                "key": f"p-{number:06}",
                "status": "created",
                "personaId": _uuid("persona", number).replace("-", ""),
                "origin": "apply",
                "at": "2026-11-22T10:00:00Z",
                "run": "0123456789ab",
                "request": persona(number),
            }
            file.write(_line(entry))


def write_zone(folder: Path, count: int) -> None:
    """Write a zone of as many TXT records, the same as octoDNS's source and target."""
    for side in ("source", "target"):
        (folder / side).mkdir(parents=True, exist_ok=True)
        with (folder / side / "example.com.yaml").open("w", encoding="utf-8") as file:
            for number in range(count):
                text = str(persona(number)["description"]).replace(";", ",")
                file.write(f"p-{number:06}:\n  ttl: 300\n  type: TXT\n  value: {text}\n")
    (folder / "config.yaml").write_text(_OCTODNS, encoding="utf-8")


def _line(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, separators=(",", ":")) + "\n"


def _uuid(kind: str, number: int) -> str:
    digits = md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
