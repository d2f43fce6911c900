"""A machine's disk, as a file system tells of it: what was not synced is gone at a power cut."""

from __future__ import annotations

import errno
import glob
import io
import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from tests.simulation.kernel import Kernel, Process
from tests.simulation.threads import Waiters

ROOT: Final = "/box/"
"""Whatever lies below here is on a simulated disk; the rest is this machine's own."""
_FIRST_DESCRIPTOR: Final = 1_000_000
_WRITE_SECONDS: Final = 0.0002
_SYNC_SECONDS: Final = 0.004


class Node:
    """A file: what is written, and what of it has surely reached the disk."""

    _count = 0

    def __init__(self, mode: int = 0o644) -> None:
        Node._count += 1
        self.number = Node._count
        self.data = bytearray()
        self.durable = b""
        self.mode = mode
        self.links = 0
        self.touched = 0
        self.holder: tuple[Process, object] | None = None
        self.waiters: Waiters | None = None

    def owner_died(self, process: Process) -> None:
        """Give the lock back."""
        if self.holder and self.holder[0] is process:
            self.holder = None
            if self.waiters:
                self.waiters.wake()


class Disk:
    """The files of one machine by their paths. One folder knows of all of them."""

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.durable_names: dict[str, Node] = {}
        self.folders: set[str] = set()
        self.full = False
        self.slow = 0.0
        """Seconds that a sync takes longer than it should."""
        self.failing = 0.0
        """How likely each writing call is to fail."""

    def power_cut(self) -> None:
        """Forget what was not synced."""
        self.names = dict(self.durable_names)
        for node in self.names.values():
            node.data = bytearray(node.durable)

    def read(self, path: str) -> bytes | None:
        """Return a whole file, as somebody who looks at it sees it."""
        node = self.names.get(path)
        return bytes(node.data) if node else None

    def write(self, path: str, data: bytes) -> None:
        """Put a whole file, as an editor or git does: a new file in place of the old."""
        node = Node()
        node.data, node.durable = bytearray(data), data
        self.names[path] = self.durable_names[path] = node

    def remove(self, path: str) -> None:
        """Take a file away, as an editor or git does."""
        self.names.pop(path, None)
        self.durable_names.pop(path, None)


class _Open:
    def __init__(self, node: Node, flags: int, path: str) -> None:
        self.node, self.flags, self.path = node, flags, path
        self.at = 0


class _Folder:
    def __init__(self, path: str) -> None:
        self.path = path


class Files:
    """What stands for the calls of ``os`` and ``io`` while the box is open."""

    def __init__(self, kernel: Kernel, disks: dict[str, Disk]) -> None:
        self._kernel = kernel
        self._disks = disks
        self._disk_of: dict[str, Disk] = {}
        self._open: dict[int, _Open | _Folder] = {}
        self._next = _FIRST_DESCRIPTOR
        self._real = {name: getattr(os, name) for name in _OS}
        self._real_open = io.open

    def calls(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield each call that the code under test must not make itself, and what stands for it."""
        for name in _OS:
            instead = self._instead(name)
            yield os, name, instead
            for where in _GLOBBERS.get(name, ()):
                yield where, name, staticmethod(instead)
        yield io, "open", self._io_open
        yield os.path, "realpath", self._realpath

    def _instead(self, name: str) -> Any:
        real, own = self._real[name], getattr(self, "_os_open" if name == "open" else f"_{name}")

        def call(first: Any, *args: Any, **options: Any) -> Any:
            if isinstance(first, int):
                ours = first >= _FIRST_DESCRIPTOR
            else:
                first = os.fspath(first)
                ours = isinstance(first, str) and first.startswith(ROOT)
            return own(first, *args, **options) if ours else real(first, *args, **options)

        return call

    # Where things are.

    def _disk(self, path: str) -> Disk:
        disk = self._disk_of.get(path)
        if disk is None:
            disk = self._disk_of[path] = self._disks[path[len(ROOT) :].partition("/")[0]]
        return disk

    def _node(self, path: str) -> Node:
        node = self._disk(path).names.get(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def _is_folder(self, path: str) -> bool:
        return path.rstrip("/") in self._disk(path).folders

    def _writes(self, path: str, what: str, seconds: float = _WRITE_SECONDS) -> Disk:
        disk = self._disk(path)
        self._kernel.step(f"{what} {path.rpartition('/')[2]}", seconds)
        if not self._kernel.calm:
            if disk.full and what in ("write", "create"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            if disk.failing and self._kernel.chance.random() < disk.failing:
                self._kernel.say(f"{what} fails")
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return disk

    def _realpath(self, path: Any, **options: Any) -> str:
        text = str(os.fspath(path))
        return text if text.startswith(ROOT) else _REALPATH(path, **options)

    # Files by name.

    def _open_file(self, path: str, flags: int, mode: int) -> _Open:
        disk = self._disk(path)
        node = disk.names.get(path)
        if node is None:
            if not flags & os.O_CREAT:
                self._node(path)
            self._writes(path, "create")
            node = disk.names[path] = Node(mode & 0o666)
        elif flags & os.O_EXCL and flags & os.O_CREAT:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if flags & os.O_TRUNC and node.data:
            self._writes(path, "truncate")
            node.data = bytearray()
        return _Open(node, flags, path)

    def _stat(self, path: Any, **_options: Any) -> os.stat_result:
        if isinstance(path, int):
            return self._fstat(path)
        if self._is_folder(path):
            return os.stat_result((stat.S_IFDIR | 0o755, 1, 1, 2, os.getuid(), 0, 0, 0, 0, 0))
        return _status(self._node(path))

    _lstat = _stat

    def _replace(self, source: str, target: Any) -> None:
        target = os.fspath(target)
        disk = self._writes(source, "rename")
        if self._node(source) is not disk.names.get(target):  # else POSIX leaves both
            disk.names[target] = disk.names.pop(source)

    _rename = _replace

    def _link(self, source: str, target: Any, **_options: Any) -> None:
        disk = self._writes(source, "link")
        target = os.fspath(target)
        if target in disk.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        disk.names[target] = self._node(source)

    def _unlink(self, path: str, **_options: Any) -> None:
        self._node(path)
        self._writes(path, "unlink")
        self._disk(path).names.pop(path, None)

    _remove = _unlink

    def _mkdir(self, path: str, *_args: Any, **_options: Any) -> None:
        if self._is_folder(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if not self._is_folder(path.rstrip("/").rpartition("/")[0]):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._disk(path).folders.add(path.rstrip("/"))

    def _listdir(self, path: str) -> list[str]:
        if not self._is_folder(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        inside = path.rstrip("/") + "/"
        names = self._disk(path).names
        return sorted(
            n[len(inside) :] for n in names if n.startswith(inside) and "/" not in n[len(inside) :]
        )

    def _scandir(self, path: str) -> Any:
        return _Scan([_Named(name, path) for name in self._listdir(path)])

    def _access(self, path: str, _mode: int, **_options: Any) -> bool:
        return self._is_folder(path) or path in self._disk(path).names

    def _chmod(self, path: Any, mode: int, **_options: Any) -> None:
        self._node(path).mode = mode

    def _truncate(self, path: Any, size: int) -> None:
        if isinstance(path, int):
            self._ftruncate(path, size)
            return
        self._writes(path, "truncate")
        del self._node(path).data[size:]

    # Files by descriptor.

    def _os_open(self, path: str, flags: int, mode: int = 0o777, **_options: Any) -> int:
        opened = _Folder(path) if self._is_folder(path) else self._open_file(path, flags, mode)
        self._next += 1
        self._open[self._next] = opened
        return self._next

    def _file(self, descriptor: int) -> _Open:
        opened = self._open.get(descriptor)
        if not isinstance(opened, _Open):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return opened

    def _fstat(self, descriptor: int) -> os.stat_result:
        return _status(self._file(descriptor).node)

    def _write(self, descriptor: int, data: Any) -> int:
        file = self._file(descriptor)
        disk = self._writes(file.path, "write")
        chance = self._kernel.chance
        size = len(data)
        if disk.failing and not self._kernel.calm and size > 1 and chance.random() < 0.2:
            size = chance.randrange(1, size)  # half a write, as a disk that gets full does it
        if file.flags & os.O_APPEND:
            file.node.data += bytes(data[:size])
        else:
            file.node.data[file.at : file.at + size] = bytes(data[:size])
            file.at += size
        file.node.touched += 1
        return size

    def _read(self, descriptor: int, size: int) -> bytes:
        file = self._file(descriptor)
        data = bytes(file.node.data[file.at : file.at + size])
        file.at += len(data)
        return data

    def _pread(self, descriptor: int, size: int, at: int) -> bytes:
        return bytes(self._file(descriptor).node.data[at : at + size])

    def _lseek(self, descriptor: int, at: int, whence: int) -> int:
        file = self._file(descriptor)
        file.at = at + (0, file.at, len(file.node.data))[whence]
        return file.at

    def _ftruncate(self, descriptor: int, size: int) -> None:
        file = self._file(descriptor)
        self._writes(file.path, "truncate")
        del file.node.data[size:]

    def _fsync(self, descriptor: int) -> None:
        opened = self._open[descriptor]
        slow = 0.0 if self._kernel.calm else self._disk(opened.path).slow
        disk = self._writes(opened.path, "sync", _SYNC_SECONDS + slow)
        if isinstance(opened, _Open):
            opened.node.durable = bytes(opened.node.data)
            return
        inside = opened.path.rstrip("/") + "/"
        for names, others in ((disk.names, disk.durable_names), (disk.durable_names, disk.names)):
            for name in [n for n in names if n.startswith(inside)]:
                if names is disk.names:
                    others[name] = names[name]
                elif name not in others:
                    del names[name]

    _fdatasync = _fsync

    def _fchmod(self, descriptor: int, mode: int) -> None:
        self._file(descriptor).node.mode = mode

    def _fchown(self, descriptor: int, *_ids: int) -> None:
        self._file(descriptor)

    def _close(self, descriptor: int) -> None:
        opened = self._open.pop(descriptor, None)
        if opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if isinstance(opened, _Open) and not any(each is opened for each in self._open.values()):
            self.release(opened.node, opened)

    def _dup(self, descriptor: int) -> int:
        self._next += 1
        self._open[self._next] = self._file(descriptor)
        return self._next

    def _io_open(self, path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        text = os.fspath(path) if not isinstance(path, int) else path
        if isinstance(text, int) or not str(text).startswith(ROOT):
            return self._real_open(path, mode, *args, **options)
        binary = "b" in mode
        if "r" in mode and "+" not in mode:
            if self._is_folder(text):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), text)
            reader = _Reader(self, self._os_open(str(text), os.O_RDONLY))
            return reader if binary else io.StringIO(reader.read().decode("utf-8"))
        return _Writer(self, text, binary)

    # Locks.

    def flock(self, node: Node, key: object, *, wait: bool) -> None:
        """Lock a file for a process; ``key`` is the open file that holds it."""
        kernel = self._kernel
        kernel.step("lock")
        while node.holder is not None and node.holder[1] is not key:
            if not wait:
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
            node.waiters = node.waiters or Waiters(kernel)
            node.waiters.wait()
        node.holder = (kernel.process, key)
        kernel.process.locks[node] = None

    def release(self, node: Node, key: object) -> None:
        """Unlock a file."""
        if node.holder is not None and node.holder[1] is key:
            self._kernel.process.locks.pop(node, None)
            node.holder = None
            if node.waiters:
                node.waiters.wake()

    def fcntl_flock(self, descriptor: Any, how: int) -> None:
        """Stand for ``fcntl.flock``."""
        import fcntl

        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        file = self._file(number)  # a lock belongs to the open file, whatever numbers it has
        if how & fcntl.LOCK_UN:
            self.release(file.node, file)
        else:
            self.flock(file.node, file, wait=not how & fcntl.LOCK_NB)


class _Reader(io.BytesIO):
    """A file opened for reading."""

    def __init__(self, files: Files, descriptor: int) -> None:
        super().__init__(bytes(files._file(descriptor).node.data))
        self._files = files
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if not self.closed:
            self._files._close(self._descriptor)
        super().close()


class _Writer(io.BytesIO):
    """A file opened for writing as a whole: its bytes go down when it is closed."""

    def __init__(self, files: Files, path: str, binary: bool) -> None:
        super().__init__()
        self._files, self._path, self._binary = files, path, binary

    def write(self, data: Any) -> int:
        return super().write(data if isinstance(data, bytes) else data.encode())

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            opened = self._files._open_file(self._path, os.O_CREAT | os.O_WRONLY, 0o666)
            opened.node.data = bytearray(data)


class _Named:
    def __init__(self, name: str, folder: str) -> None:
        self.name, self.path = name, f"{folder.rstrip('/')}/{name}"

    def is_dir(self, **_options: Any) -> bool:
        return False

    def is_symlink(self) -> bool:
        return False


class _Scan(list[_Named]):
    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _status(node: Node) -> os.stat_result:
    size = len(node.data)
    return os.stat_result(
        (stat.S_IFREG | node.mode, node.number, 1, 1, os.getuid(), 0, size, 0, node.touched, 0)
    )


_REALPATH = os.path.realpath
_OS: Final = (
    *("stat", "lstat", "replace", "rename", "link", "unlink", "remove", "mkdir", "listdir"),
    *("scandir", "access", "chmod", "truncate", "open", "fstat", "write", "read", "pread", "lseek"),
    *("ftruncate", "fsync", "fdatasync", "fchmod", "fchown", "close", "dup"),
)
_GLOBBERS: Final = {
    name: tuple(
        each
        for each in vars(glob).values()
        if isinstance(each, type) and isinstance(vars(each).get(name), staticmethod)
    )
    for name in _OS
}
"""Python 3.13 has taken some of these calls in for itself."""
