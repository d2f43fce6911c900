"""Random lives of a manifest, against a model: plan, state and sandbox always agree.

Hypothesis writes stories of manifest edits, applies, kills, imports, renames
and removals. A model, made of little more than two dictionaries, says what the
plan must be and what the state must hold after each step; the sandbox's own
books say what really exists. After a kill, the model allows what may have
become of each persona, and takes over what did.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest
import requests
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from personasync.sandbox import SandboxConfig
from personasync.state import Entry, FileStateLog, Status
from tests.helpers.killable import Kill, Runner
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Ended, clean_environment

KEYS = [f"k-{number}" for number in range(5)]
AUDIOS = [f"audio-{number}" for number in range(10)]
DESCRIPTION = "A warm and steady voice over brushes and upright bass"
KILLS = st.one_of(
    st.builds(Kill, st.integers(1, 20), torn=st.booleans()),
    st.builds(Kill, st.integers(1, 4), call=st.sampled_from(["recv_into", "sendall", "fsync"])),
)
PICKS = st.tuples(*[st.integers(0, 2519)] * 3)
"""Numbers to pick by, so that what is drawn never hangs on what a kill left behind."""

T = TypeVar("T")
DESCRIBED: TypeAlias = tuple[str, str, float]
"""What is told apart of a request: its task, its name, and its segment's end in effect."""


def pick(number: int, options: Sequence[T]) -> T:
    return options[number % len(options)]


@functools.cache
def _runner() -> Runner:
    """Return the one runner of all lives; it ends with the tests."""
    home = tempfile.mkdtemp(prefix="personasync-home-")
    runner = Runner({**clean_environment(Path(home)), "PERSONASYNC_API_KEY": "any"})
    atexit.register(shutil.rmtree, home)
    atexit.register(runner.close)
    return runner


@dataclass(frozen=True)
class Wanted:
    """A persona of the model's manifest."""

    audio: str
    name: str = "One"
    end: float | None = None
    persona_id: str | None = None
    missing: bool = False

    @property
    def described(self) -> DESCRIBED:
        return (self.task, self.name, 30 if self.end is None else self.end)

    @property
    def task(self) -> str:
        return f"{'missing' if self.missing else 'task'}-{self.audio}"

    def to_json(self) -> dict[str, Any]:
        fields = {
            "taskId": self.task,
            "audioId": self.audio,
            "name": self.name,
            "description": DESCRIPTION,
            "vocalEnd": self.end,
            "personaId": self.persona_id,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Known:
    """What the model's state holds of an audio; ``clashes`` is a conflict, hidden or not."""

    status: Status
    key: str
    persona_id: str | None = None
    described: DESCRIBED | None = None
    clashes: bool = False
    ours: bool = False

    @classmethod
    def of(cls, entry: Entry) -> Known:
        clashes = entry.persona_id is None and entry.code == 409
        sent, described = entry.request, None
        if sent is not None:
            end = 30 if sent.vocal_end is None else sent.vocal_end
            described = (sent.task_id, sent.name, end)
        return cls(
            entry.status,
            entry.key,
            entry.persona_id,
            described,
            clashes,
            clashes and bool(entry.after_pending),
        )

    @property
    def rank(self) -> int:
        return {Status.FAILED: 1, Status.FORGOTTEN: 2}.get(self.status, 0)


class Life(RuleBasedStateMachine):
    """A team, its manifest, its state, and an API that really makes personas."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="personasync-life-"))
        self.sandbox = self.serve("conflict", 0)
        self.mode = "conflict"
        self.manifest: dict[str, Wanted] = {}
        self.state: dict[str, Known] = {}
        self.made_by_us: dict[str, str] = {}
        self.given = 0

    def serve(self, repeat: Any, port: int) -> Sandbox:
        books = self.folder / "books.db"
        sandbox = Sandbox(SandboxConfig(books=books, repeat=repeat, port=port))
        sandbox.start()
        return sandbox

    def teardown(self) -> None:
        self.sandbox.close()
        shutil.rmtree(self.folder)

    # What is there.

    def run(self, *args: str, kill: Kill | None = None) -> Ended:
        environment = {"PERSONASYNC_BASE_URL": self.sandbox.base_url}
        return _runner()(self.folder, *args, env=environment, kill=kill)

    def books(self) -> dict[str, str]:
        return {audio: made.persona_id for audio, made in self.sandbox.personas().items()}

    def recorded(self) -> dict[str, Known]:
        log = FileStateLog(self.folder / "personas.state.jsonl", api=None)
        return {a: Known.of(entry) for a, entry in log.read().fold().entries.items()}

    def write(self) -> None:
        personas = {key: wanted.to_json() for key, wanted in self.manifest.items()}
        document = {"version": 1, "personas": personas}
        (self.folder / "personas.yaml").write_text(json.dumps(document))

    # What must be there.

    def contradicted(self) -> bool:
        owners = {known.persona_id for known in self.state.values() if known.persona_id}
        for wanted in self.manifest.values():
            known = self.state.get(wanted.audio)
            recorded = known.persona_id if known else None
            contradicts = recorded or wanted.persona_id in owners
            if wanted.persona_id and wanted.persona_id != recorded and contradicts:
                return True
        return False

    def action(self, key: str) -> str:
        wanted = self.manifest[key]
        known = self.state.get(wanted.audio)
        if known is not None and known.status is Status.CREATED:
            if known.key != key:
                return "rename"
            differs = known.described is not None and known.described != wanted.described
            return "changed" if differs else "unchanged"
        if wanted.persona_id or (known is not None and known.persona_id):
            return "import"
        if known is None or known.status is Status.FAILED:
            return "create"
        if known.status is Status.PENDING:
            return "resume"
        return "conflict" if known.clashes else "create"

    def plan(self) -> dict[str, tuple[str, str]]:
        """Return what the plan must be: action and key of each audio."""
        rows = {wanted.audio: (self.action(key), key) for key, wanted in self.manifest.items()}
        for audio, known in self.state.items():
            if audio not in rows and known.rank == 0:
                rows[audio] = ("removed", known.key)
        return rows

    def meanings(self, *, manifest: bool) -> dict[str, list[str]]:
        """Return the audios that each key means, the manifest's first where it counts."""
        found = {key: [each.audio] for key, each in self.manifest.items()} if manifest else {}
        taken = {audio for audios in found.values() for audio in audios}
        others: dict[str, list[str]] = {}
        for audio, known in self.state.items():
            if audio not in taken and known.key not in found:
                others.setdefault(known.key, []).append(audio)
        for key, audios in others.items():
            best = min(self.state[audio].rank for audio in audios)
            found[key] = [audio for audio in audios if self.state[audio].rank == best]
        return found

    def outputs(self) -> dict[str, str]:
        """Return what ``output`` must print."""
        return {
            key: known.persona_id
            for key, audios in self.meanings(manifest=True).items()
            if len(audios) == 1
            and (known := self.state.get(audios[0])) is not None
            and known.status is Status.CREATED
            and known.persona_id is not None
        }

    # The manifest is edited.

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        self.manifest = {KEYS[n]: Wanted(AUDIOS[n]) for n in range(count)}
        self.write()

    def free_keys(self) -> list[str]:
        return [key for key in KEYS if key not in self.manifest]

    def free_audios(self) -> list[str]:
        taken = {wanted.audio for wanted in self.manifest.values()}
        return [audio for audio in AUDIOS if audio not in taken]

    @rule(picks=PICKS)
    def edit_the_manifest(self, picks: tuple[int, int, int]) -> None:
        which, *how = picks
        edits: list[Any] = [self.add, self.add] if self.free_keys() else []
        if self.manifest:
            edits += [self.edit, self.rename, self.use_another_audio, self.remove, self.give_an_id]
        pick(which, edits)(*how)
        self.write()

    def add(self, key: int, audio: int) -> None:
        wanted = Wanted(pick(audio, self.free_audios()), missing=audio % 5 == 4)
        self.manifest[pick(key, self.free_keys())] = wanted

    def edit(self, key: int, how: int) -> None:
        name, end = pick(how, [(name, end) for name in ("One", "Two") for end in (None, 30, 25)])
        chosen = pick(key, list(self.manifest))
        edited = replace(self.manifest[chosen], name=name, end=end, missing=False)
        self.manifest[chosen] = edited

    def rename(self, key: int, other_key: int) -> None:
        """Give a persona a free key, or swap it with another's."""
        old, new = pick(key, list(self.manifest)), pick(other_key, KEYS)
        moved, other = self.manifest.pop(old), self.manifest.pop(new, None)
        self.manifest[new] = moved
        if other is not None:
            self.manifest[old] = other

    def use_another_audio(self, key: int, audio: int) -> None:
        self.manifest[pick(key, list(self.manifest))] = Wanted(pick(audio, self.free_audios()))

    def remove(self, key: int, _how: int) -> None:
        del self.manifest[pick(key, list(self.manifest))]

    def give_an_id(self, key: int, how: int) -> None:
        """Put a ``personaId`` into the manifest, right or wrong, or take it out."""
        chosen = pick(key, list(self.manifest))
        taken = {each.persona_id for each in self.manifest.values()}
        given = pick(how, [None, *self.some_ids(self.manifest[chosen].audio)])
        if given is None or given not in taken:
            self.manifest[chosen] = replace(self.manifest[chosen], persona_id=given)

    def some_ids(self, audio: str) -> list[str]:
        """Return IDs to choose from for an audio: its own, others', and one that is new."""
        self.given += 1
        books = self.books()
        own = [books[audio]] if audio in books else []
        others = [books[other] for other in sorted(books)]
        return [*own, *own, f"given-{self.given}", *others]

    # The world goes on.

    @rule(audio=st.sampled_from(AUDIOS), mode=st.sampled_from(["conflict", "same-id"]))
    def the_world_goes_on(self, audio: str, mode: str) -> None:
        """Someone else makes a persona, or the API changes how it answers a second request."""
        if mode != self.mode:
            self.sandbox.close()
            self.sandbox = self.serve(mode, self.sandbox.port)
            self.mode = mode
            return
        answer = requests.post(
            f"{self.sandbox.base_url}/api/v1/generate/generate-persona",
            headers={"Authorization": "Bearer any"},
            json=Wanted(audio).to_json(),
            timeout=60,
        )
        assert answer.json()["code"] in (200, 409)

    # The command is run.

    @rule(only=st.none() | st.sampled_from(KEYS))
    def apply_in_peace(self, only: str | None) -> None:
        self.apply(None, 2, only)

    @rule(kill=KILLS, parallelism=st.integers(1, 3))
    def apply_and_be_killed(self, kill: Kill, parallelism: int) -> None:
        self.apply(kill, parallelism, None)

    def apply(self, kill: Kill | None, parallelism: int, only: str | None) -> None:
        rows = self.plan()
        if only not in {key for _action, key in rows.values()}:
            only = None
        chosen = {a: row for a, row in rows.items() if only in (None, row[1])}
        before, asked = self.books(), self.sandbox.statistics().audios
        ended = self.run(
            *("apply", "--auto-approve", "--rate-limit=none", "--retry-for=0s"),
            *(f"--parallelism={parallelism}", *([f"--target={only}"] if only else [])),
            kill=kill,
        )
        self.made_by_us |= {a: i for a, i in self.books().items() if a not in before}
        now = self.sandbox.statistics().audios
        sent = {audio for audio in now if now[audio] > asked.get(audio, 0)}
        spending = {a for a, (action, _key) in chosen.items() if action in ("create", "resume")}
        if self.contradicted():
            assert (ended.code if kill is None else 1) == 1
            assert (self.recorded(), sent) == (self.state, set())
            return
        assert sent <= spending, "a request that no plan asked for"
        after = {a: self.applied(a, action, before) for a, (action, _key) in chosen.items()}
        for audio, (action, _key) in chosen.items():
            known = after[audio]
            if action == "import" and known and known.persona_id != self.made_by_us.get(audio):
                self.made_by_us.pop(audio, None)  # the team says that it is another
        if ended.code == -9:
            self.take_over(chosen, after, before)
            return
        assert sent == spending
        done = {a for a, k in after.items() if chosen[a][0] in ("changed", "removed", "unchanged")}
        done |= {a for a, known in after.items() if known and known.status is Status.CREATED}
        assert ended.code == (0 if done == set(after) else 3), ended.stderr
        self.state |= {audio: known for audio, known in after.items() if known is not None}
        assert self.recorded() == self.state

    def applied(self, audio: str, action: str, before: dict[str, str]) -> Known | None:
        """Say what an apply that ends makes of an audio; ``before`` is what existed already."""
        known = self.state.get(audio)
        key = next((key for key, each in self.manifest.items() if each.audio == audio), None)
        if key is None or action in ("unchanged", "changed", "conflict"):
            return known
        wanted = self.manifest[key]
        if action == "rename":
            assert known is not None
            return replace(known, key=key)
        if action == "import":
            persona_id = wanted.persona_id or (known.persona_id if known else None)
            described = self.described(wanted, known, persona_id)
            return Known(Status.CREATED, key, persona_id, described)
        tried = Known(Status.PENDING, key, described=wanted.described)
        if wanted.missing:
            return tried if action == "resume" else replace(tried, status=Status.FAILED)
        if audio in before and self.mode == "conflict":
            return replace(tried, status=Status.CONFLICT, clashes=True, ours=action == "resume")
        return replace(tried, status=Status.CREATED, persona_id=self.books().get(audio))

    def described(self, wanted: Wanted | None, known: Known | None, persona_id: str | None) -> Any:
        """Say what an adopted persona was made with: what we sent, if that may have made it."""
        if known is None or known.described is None or wanted is None:
            return wanted.described if wanted else known and known.described
        ours = known.status is Status.PENDING or known.ours
        if known.persona_id:
            ours = known.persona_id == persona_id
        return known.described if ours else wanted.described

    def take_over(
        self,
        rows: dict[str, tuple[str, str]],
        after: dict[str, Known | None],
        before: dict[str, str],
    ) -> None:
        """After a kill: check that what became of each audio may have become of it."""
        recorded, books = self.recorded(), self.books()
        for audio in {*self.state, *recorded}:
            was, now = self.state.get(audio), recorded.get(audio)
            action, key = rows.get(audio, ("none", ""))
            allowed = [was, after.get(audio)]
            if action in ("create", "resume"):
                described = self.manifest[key].described
                pending = Known(Status.PENDING, key, described=described)
                torn = replace(pending, described=was.described if was else None)
                allowed = [pending, torn, after[audio]]
                if audio in books and audio not in before:  # it was made in this run
                    found = replace(pending, status=Status.CREATED, persona_id=books[audio])
                    allowed += [found, replace(found, described=torn.described)]
                else:
                    allowed += [was]
            assert now in allowed, f"{audio} was {was}, is {now}, and may be {allowed}"
        self.state = recorded

    @rule(picks=PICKS, force=st.booleans())
    def import_an_id(self, picks: tuple[int, int, int], force: bool) -> None:
        meanings = self.meanings(manifest=True)
        if not meanings:
            return
        word = pick(picks[0], [*meanings, *self.state])
        audios = meanings.get(word, [word])
        persona_id = pick(picks[1], self.some_ids(audios[0]))
        ended = self.run("import", word, persona_id, *(["--force"] if force else []))
        if len(audios) > 1:
            assert ended.code == 1
            return
        audio, known = audios[0], self.state.get(audios[0])
        key = next((k for k, each in self.manifest.items() if each.audio == audio), None)
        wanted = self.manifest[key] if key else None
        key = key or (known.key if known else "")
        recorded = known.persona_id if known else None
        same = known is not None and (known.status, known.key, recorded) == (
            Status.CREATED,
            key,
            persona_id,
        )
        objections = (
            recorded not in (None, persona_id)
            or (wanted is not None and wanted.persona_id not in (None, persona_id))
            or any(a != audio and k.persona_id == persona_id for a, k in self.state.items())
            or any(w.audio != audio and w.persona_id == persona_id for w in self.manifest.values())
        )
        assert ended.code == (1 if objections and not force and not same else 0), ended.stderr
        if ended.code == 0 and not same:
            if self.made_by_us.get(audio) != persona_id:
                self.made_by_us.pop(audio, None)  # the team says that it is another
            described = self.described(wanted, known, persona_id)
            self.state[audio] = Known(Status.CREATED, key, persona_id, described)

    def of_state(self, data: st.DataObject) -> tuple[str, str | None]:
        """Draw what a state command is told, and the audio that it means, if just one."""
        meanings = self.meanings(manifest=False)
        word = data.draw(st.sampled_from([*meanings, *self.state]))
        audios = meanings.get(word, [word])
        return word, audios[0] if len(audios) == 1 else None

    @rule(picks=PICKS, new_key=st.sampled_from([None, None, *KEYS]))
    def edit_the_state(self, picks: tuple[int, int, int], new_key: str | None) -> None:
        meanings = self.meanings(manifest=False)
        if not meanings:
            return
        word = pick(picks[0], [*meanings, *self.state])
        audios = meanings.get(word, [word])
        audio = audios[0] if len(audios) == 1 else None
        if new_key is None:
            self.state_rm(word, audio)
        else:
            self.state_mv(word, audio, new_key)

    def state_mv(self, word: str, audio: str | None, new_key: str) -> None:
        ended = self.run("state", "mv", word, new_key)
        taken = any(
            known.key == new_key and known.rank == 0 and other != audio
            for other, known in self.state.items()
        )
        if audio is not None and self.state[audio].key == new_key:
            assert ended.code == 0
        elif audio is None or taken:
            assert ended.code == 1
        else:
            assert ended.code == 0, ended.stderr
            self.state[audio] = replace(self.state[audio], key=new_key)

    def state_rm(self, word: str, audio: str | None) -> None:
        ended = self.run("state", "rm", word)
        if audio is None or self.state[audio].status is Status.PENDING:
            assert ended.code == 1
            return
        assert ended.code == 0, ended.stderr
        self.state[audio] = replace(self.state[audio], status=Status.FORGOTTEN)

    # What always holds.

    @invariant()
    def nothing_is_lost(self) -> None:
        """The state is the model's, and it knows of each persona that the command made."""
        recorded = self.recorded()
        assert recorded == self.state
        for audio, persona_id in self.made_by_us.items():
            known = recorded[audio]
            in_doubt = known.clashes or known.status is Status.PENDING
            assert known.persona_id == persona_id or (known.persona_id is None and in_doubt)

    @invariant()
    def the_plan_is_the_models(self) -> None:
        if not (self.folder / "personas.yaml").exists():
            return
        ended = self.run("plan", "--format", "json")
        if self.contradicted():
            assert (ended.code, ended.stdout) == (1, "")
            return
        actions = json.loads(ended.stdout)["actions"]
        assert {row["audioId"]: (row["action"], row["key"]) for row in actions} == self.plan()

    @invariant()
    def the_output_is_the_models(self) -> None:
        if not (self.folder / "personas.yaml").exists():
            return
        ended = self.run("output", "--format", "json")
        found = {key: row["personaId"] for key, row in json.loads(ended.stdout).items()}
        assert found == self.outputs()


_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.timeout(600)
class TestSomeLives(Life.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=5, stateful_step_count=20, **_COMMON)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestManyLives(Life.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=10, stateful_step_count=30, **_COMMON)
