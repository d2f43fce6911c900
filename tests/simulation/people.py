"""What people do to a state: with git, an editor, a copy, and the tool's own commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest
from personasync.state.edits import forget, recorded, rename, stamped
from personasync.state.entry import Entry
from personasync.state.find import Record, records
from personasync.state.log import StateLog
from tests.simulation.box import Machine
from tests.simulation.kernel import Kernel, Process
from tests.simulation.service import Service


@dataclass(slots=True)
class Lost:
    """What was lost by somebody's hand, and by no fault of the tool.

    ``ids`` are those of which the last copy is gone, and ``audios`` those of which a state had
    said something.
    """

    ids: set[str] = field(default_factory=set)
    audios: set[str] = field(default_factory=set)


def by_hand(
    kernel: Kernel,
    machine: Machine,
    service: Service,
    lost: Lost,
    questions: Collection[Process],
) -> None:
    """Change the state file between runs, and while one of them waits for a yes."""
    kept: list[bytes] = []
    for _ in range(6):
        kernel.sleep(kernel.chance.uniform(0.0, 20.0))
        node = machine.disk.names.get(f"{machine.state}.lock")
        data = machine.disk.read(machine.state)
        holder = node.holder[0] if node and node.holder else None
        if data is None or (holder and holder not in questions):
            continue  # in the middle of a run is tests/crash's
        kept.append(data)
        what = kernel.chance.choice([*_BY_HAND, _MERGES, _MERGES])
        kernel.say(f"somebody {what}")
        before, asked = _ids_on(machine, service), _audios_in(data, service)
        changed = _BY_HAND[what](data, kernel.chance.choice(kept), kernel.chance)
        if changed is None:
            machine.disk.remove(machine.state)
        elif changed != data:
            machine.disk.write(machine.state, changed)
        if changed != data:
            kernel.tally["merges" if what == _MERGES else "other changes by hand"] += 1
        lost.audios |= asked - _audios_in(changed or b"", service)
        gone = before - _ids_on(machine, service)
        if gone:  # no other file had them: they are nowhere but in that person's memory
            kernel.say(f"with it go {sorted(gone)}")
            lost.ids |= gone


def _merged(data: bytes, other: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines, *(x for x in other.splitlines(keepends=True) if x not in lines)])


def _shuffled(data: bytes, chance: Random) -> bytes:
    header, *lines = data.splitlines(keepends=True)
    chance.shuffle(lines)
    return header + b"".join(lines)


def _joined(data: bytes) -> bytes:
    header, _, rest = data.partition(b"\n")
    return header + b"\n" + rest.replace(b"}\n{", b"}{", 1)


def _cut(data: bytes, chance: Random) -> bytes:
    header, last = data.find(b"\n") + 1, data.rfind(b"\n", 0, -1) + 1
    return data[: chance.randint(max(header, last), len(data))]


_MERGES: Final = "merges an older state in"
_BY_HAND: Final[dict[str, Callable[[bytes, bytes, Random], bytes | None]]] = {
    "looks at the state": lambda data, _older, _chance: data,
    "restores an older state": lambda _data, older, _chance: older,
    "copies the state over itself": lambda data, _older, _chance: data + b"",
    _MERGES: lambda data, older, _chance: _merged(data, older),
    "deletes the state": lambda _data, _older, _chance: None,
    "adds a blank line": lambda data, _older, _chance: data + b"\n",
    "joins two lines": lambda data, _older, _chance: _joined(data),
    "changes the ends of the lines": lambda data, _older, _chance: data.replace(b"\n", b"\r\n"),
    "sorts the lines in another way": lambda data, _older, chance: _shuffled(data, chance),
    "cuts the last line off": lambda data, _older, chance: _cut(data, chance),
}


def _ids_on(machine: Machine, service: Service) -> set[str]:
    """Return the IDs of a machine's records; what is set aside for people is none."""
    files = machine.disk.names.items()
    texts = [bytes(node.data) for name, node in files if not name.endswith((".tmp", ".torn"))]
    return {i for i in service.made.values() if any(f'"{i}"'.encode() in text for text in texts)}


def _audios_in(data: bytes, service: Service) -> set[str]:
    """Return the audios of which a state says anything."""
    return {audio for audio in service.made if f'"{audio}"'.encode() in data}


def by_command(
    kernel: Kernel, open_log: Callable[[], StateLog], manifest: Manifest, service: Service
) -> Iterator[str]:
    """Edit the state with the tool's own commands; yield the IDs that were acknowledged."""
    for _ in range(2):
        kernel.sleep(kernel.chance.uniform(0.0, 60.0))
        command = kernel.chance.choice(list(_COMMANDS))
        kernel.step(f"runs {command}")
        log = open_log()
        try:
            with log.lock(timeout=kernel.chance.choice([0.0, 90.0])):
                state = log.read().fold()
                known = records(manifest, state)
                entries = _COMMANDS[command](known, kernel.chance.choice(known), service)
                entries = tuple(stamped(entries))
                if entries:
                    log.append(entries)
        except PersonasyncError as error:
            kernel.say(f"{kernel.process} ends: {error.message}")
        else:
            yield from (entry.persona_id for entry in entries if entry.persona_id)


def _import(_known: Sequence[Record], record: Record, service: Service) -> tuple[Entry, ...]:
    made = service.made.get(record.audio_id)
    return (recorded(record, made),) if made else ()


def _forget(_known: Sequence[Record], record: Record, _service: Service) -> tuple[Entry, ...]:
    return forget(record.entry) if record.entry else ()


def _rename(known: Sequence[Record], record: Record, _service: Service) -> tuple[Entry, ...]:
    return rename(known, record.entry, f"{record.key}-new") if record.entry else ()


_COMMANDS: Final = {"import": _import, "state rm": _forget, "state mv": _rename}
