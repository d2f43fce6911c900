"""The peer that people write today: a loop, requests, and a JSON file rewritten each time."""

import json
import sys
from pathlib import Path

import requests
import yaml

base_url, manifest, recorded = sys.argv[1:]
personas = yaml.safe_load(Path(manifest).read_text(encoding="utf-8"))["personas"]
ids = {}
for key, fields in personas.items():
    answer = requests.post(
        f"{base_url}/api/v1/generate/generate-persona",
        json=fields,
        headers={"Authorization": "Bearer any"},
        timeout=60,
    ).json()
    if answer["code"] != 200:
        sys.exit(f"{key}: {answer}")
    ids[key] = {"personaId": answer["data"]["personaId"], "audioId": fields["audioId"]}
    Path(recorded).write_text(json.dumps(ids, indent=2), encoding="utf-8")
