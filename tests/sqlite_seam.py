"""A seam below SQLite: every write, truncation, sync, opening and deletion of the files of this process's databases passes a hook.

It is a VFS that forwards to the system's own, registered as the default one through the same `libsqlite3` that Python's `sqlite3` has
loaded; so it is the real journal, the real module and the real SQLite that are recorded, or hindered. Where the module has SQLite built in,
there is nothing to register with, and `available` says so.
"""

from __future__ import annotations

import ctypes
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

OK, READONLY, FULL, CANTOPEN = 0, 8, 13, 14
IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = 778, 1034, 1546, 2570
Pointer = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer, Pointer, ctypes.c_int, Pointer)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, ctypes.c_char_p, ctypes.c_int)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int), ("file_size", ctypes.c_int), ("longest", ctypes.c_int), ("following", Pointer),
        ("name", ctypes.c_char_p), ("data", Pointer), ("open", Pointer), ("delete", Pointer),
        *((f"other{place}", Pointer) for place in range(14)),
    )  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int), ("close", Pointer), ("read", Pointer), ("write", Pointer), ("truncate", Pointer), ("sync", Pointer),
        *((f"other{place}", Pointer) for place in range(13)),
    )  # fmt: skip


class Hook:
    """What may be done before each operation: 0 lets it happen, any other of SQLite's codes is its outcome. `file` is a full path."""

    def open(self, file: str, creates: bool) -> int:
        """A file is opened; `creates` says whether it may be created."""
        return OK

    def write(self, file: str, data: bytes, offset: int) -> int:
        """Bytes are written."""
        return OK

    def truncate(self, file: str, size: int) -> int:
        """A file is made shorter."""
        return OK

    def sync(self, file: str) -> int:
        """A file is forced to the disk."""
        return OK

    def delete(self, file: str) -> int:
        """A file is deleted."""
        return OK


class _Shim:
    """One registered VFS; its C structures live as long as it does."""

    def __init__(self, library: Any) -> None:
        self._library, self.hook = library, Hook()
        self._original = _Vfs.from_address(library.sqlite3_vfs_find(None))
        self._vfs = _Vfs.from_buffer_copy(bytes(self._original))
        self._files = dict[int, tuple[str, _Methods]]()  # by the address of SQLite's handle
        self._tables = dict[int, _Methods]()  # by the address of the table that the system's VFS gave
        self._real_open, self._real_delete = _OPEN(self._original.open), _DELETE(self._original.delete)
        self._own = [_OPEN(self._open), _DELETE(self._delete), _WRITE(self._write), _TRUNCATE(self._truncate), _SYNC(self._sync)]
        self._vfs.name, self._vfs.following = b"seam", None
        self._vfs.open, self._vfs.delete = (ctypes.cast(call, Pointer).value for call in self._own[:2])

    def register(self) -> None:
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def unregister(self) -> None:
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))

    def _open(self, _: int, name: int | None, handle: int, flags: int, out: int | None) -> int:
        file = ctypes.string_at(name).decode() if name else ""  # the pointer goes on: the system's VFS keeps it
        code = self.hook.open(file, bool(flags & 4)) if file else OK
        if code:
            ctypes.c_void_p.from_address(handle).value = None  # SQLite closes what has methods
            return code
        code = self._real_open(ctypes.addressof(self._original), name, handle, flags, out)
        table = ctypes.c_void_p.from_address(handle)
        if code == OK and file and table.value:
            original = _Methods.from_address(table.value)
            if table.value not in self._tables:
                own = _Methods.from_buffer_copy(bytes(original))
                own.write, own.truncate, own.sync = (ctypes.cast(call, Pointer).value for call in self._own[2:])
                self._tables[table.value] = own
            self._files[handle] = (file, original)
            table.value = ctypes.addressof(self._tables[table.value])
        return int(code)

    def _delete(self, _: int, name: bytes, syncs: int) -> int:
        return self.hook.delete(name.decode()) or int(self._real_delete(ctypes.addressof(self._original), name, syncs))

    def _write(self, handle: int, data: int, size: int, offset: int) -> int:
        file, methods = self._files[handle]
        return self.hook.write(file, ctypes.string_at(data, size), offset) or int(_WRITE(methods.write)(handle, data, size, offset))

    def _truncate(self, handle: int, size: int) -> int:
        file, methods = self._files[handle]
        return self.hook.truncate(file, size) or int(_TRUNCATE(methods.truncate)(handle, size))

    def _sync(self, handle: int, flags: int) -> int:
        file, methods = self._files[handle]
        return self.hook.sync(file) or int(_SYNC(methods.sync)(handle, flags))


def _library() -> Any:
    """The library that Python's module has loaded, or None."""
    with suppress(OSError, AttributeError):
        maps = Path("/proc/self/maps").read_text("utf-8")
        path = next((line.split()[-1] for line in maps.splitlines() if "libsqlite3" in line), None)
        if path is not None:
            library = ctypes.CDLL(path)
            library.sqlite3_vfs_find.restype = Pointer
            return library
    return None


@contextmanager
def seam(hook: Hook) -> Iterator[None]:
    """Databases that are opened in this block pass the hook, until they are closed: close them in it."""
    library = _library()
    if library is None:
        raise RuntimeError("Python's sqlite3 has SQLite built in: there is no seam")
    shim = _Shim(library)
    shim.hook = hook
    shim.register()
    try:
        yield
    finally:
        shim.unregister()
        _KEPT.append(shim)  # a handle that was forgotten must not call into what is gone


_KEPT: list[_Shim] = []


def available() -> bool:
    """Whether the seam sees what Python's `sqlite3` writes."""
    if _library() is None:
        return False
    seen = list[str]()

    class Watch(Hook):
        write: Callable[..., int]

        def __init__(self) -> None:
            self.write = lambda file, data, offset: seen.append(file) or OK

    with tempfile.TemporaryDirectory() as folder, seam(Watch()):
        connection = sqlite3.connect(Path(folder, "probe"))
        connection.execute("CREATE TABLE t (x)")
        connection.close()
    return bool(seen)
