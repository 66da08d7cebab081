"""What the images of tests are made of: programs of this machine with their libraries, in a tar."""

from __future__ import annotations

import functools
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from pathlib import Path

_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
_USERS = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n"
_GROUPS = b"root:x:0:\nnogroup:x:65534:\napp:x:1000:\n"
_NOT_NEEDED = {
    "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "site-packages", "turtledemo", "pydoc_data", "venv",
    "unittest", "distutils", "sqlite3", "ctypes", "curses", "dbm", "wsgiref", "multiprocessing", "xml", "xmlrpc",
}  # fmt: skip

WEB = r'''
"""GET /: `colour version`; /slow?ms=500: later; /health: 200, or 503 after /sick (until /well); /env, /id: JSON;
/file?path=/x: its content; POST: the length of the body. Ends on SIGTERM after the requests that have begun."""
import json, os, signal, socket, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NAME = "%s %s" % (os.environ.get("GREENROOM_COLOUR", "-"), os.environ.get("VERSION", "-"))
SICK = threading.Event()
IDLE, LOCK, ENDING = set(), threading.Lock(), threading.Event()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_one_request(self):
        with LOCK:
            if ENDING.is_set():
                self.close_connection = True
                return
            IDLE.add(self.connection)
        super().handle_one_request()

    def parse_request(self):
        with LOCK:
            IDLE.discard(self.connection)
        return super().parse_request()

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        status, body = 200, NAME
        if url.path == "/slow":
            time.sleep(int(query.get("ms", "500")) / 1000)
        elif url.path == "/sick":
            SICK.set()
        elif url.path == "/well":
            SICK.clear()
        elif url.path == "/health":
            status = 503 if SICK.is_set() else 200
        elif url.path == "/env":
            body = json.dumps(dict(os.environ))
        elif url.path == "/id":
            body = json.dumps({"uid": os.getuid(), "gid": os.getgid(), "host": socket.gethostname(), "pid": os.getpid()})
        elif url.path == "/file":
            try:
                body = open(query["path"]).read()
            except OSError as error:
                status, body = 404, str(error)
        self.answer(status, body)

    def do_POST(self):
        self.answer(200, "%s %d" % (NAME, len(self.rfile.read(int(self.headers.get("content-length", "0"))))))

    def answer(self, status, body):
        content = body.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-served-by", NAME.split()[0])
        self.send_header("x-version", NAME.split()[1])
        if ENDING.is_set():
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, form, *values):
        print(form % values, flush=True)

def end(*_):
    def stop():
        server.shutdown()
        with LOCK:
            ENDING.set()
            for connection in IDLE:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
    threading.Thread(target=stop).start()

class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 1024

time.sleep(float(os.environ.get("BOOT", "0")))
server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGQUIT, end)
print("listening", flush=True)
server.serve_forever(0.02)
server.server_close()
print("ended", flush=True)
'''

WORKER = r'''
"""Works in the folder $WORK (a mount): `worker.lock` is held while it lives, `worker.twice` says that two lived at once,
`worker.VERSION` counts what it did. Takes a moment to end."""
import fcntl, os, signal, sys, time
work = os.environ.get("WORK", "/data")
lock = open(work + "/worker.lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(work + "/worker.twice", "w").close()
def end(*_):
    time.sleep(0.1)
    print("ended", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("working", flush=True)
done = 0
while True:
    done += 1
    with open(work + "/worker." + os.environ.get("VERSION", "-"), "w") as file:
        file.write(str(done))
    time.sleep(0.05)
'''


class Tar:
    """A file system to be: every folder above a file gets its own entry."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w")
        self._known: set[str] = set()

    def folder(self, path: str, mode: int = 0o755) -> None:
        path = path.strip("/")
        if not path or path in self._known:
            return
        self.folder(os.path.dirname(path))
        self._known.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(entry)

    def file(self, path: str, content: bytes, mode: int = 0o644, changed: int = 0) -> None:
        path = path.strip("/")
        if path in self._known:
            return
        self.folder(os.path.dirname(path))
        self._known.add(path)
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode, entry.mtime = len(content), mode, changed
        self._tar.addfile(entry, io.BytesIO(content))

    def link(self, path: str, target: str) -> None:
        path = path.strip("/")
        if path in self._known:
            return
        self.folder(os.path.dirname(path))
        self._known.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def program(self, source: str, path: str = "") -> None:
        """A program of this machine, at `path` (else where it is), with every library that it needs."""
        self.file(path or source, Path(source).read_bytes(), 0o755)
        self.libraries(source)

    def libraries(self, source: str) -> None:
        said = subprocess.run(["ldd", source], check=False, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", said):
            own = library.startswith(sys.base_prefix)  # found by its run path here, which is not there
            self.file(f"/usr/lib/{os.path.basename(library)}" if own else library, Path(library).read_bytes(), 0o755)

    def tree(self, source: Path, path: str, leave_out: frozenset[str] = frozenset()) -> None:
        for entry in sorted(source.iterdir()):
            inside = f"{path}/{entry.name}"
            if entry.name in leave_out or entry.name.startswith("config-"):
                continue
            if entry.is_dir():
                self.tree(entry, inside, leave_out)
            elif entry.is_file() and not entry.name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc")):
                changed = int(entry.stat().st_mtime)  # what was compiled before counts only with this
                self.file(inside, entry.read_bytes(), 0o755 if entry.suffix == ".so" else 0o644, changed)

    def with_files(self, files: Mapping[str, bytes]) -> Tar:
        for path, content in files.items():
            self.file(path, content)
        return self

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def skeleton() -> Tar:
    """Users, a shell and its tools, a `/tmp` for all: what every image needs."""
    tar = Tar()
    for path, content in (("etc/passwd", _USERS), ("etc/group", _GROUPS), ("etc/hosts", b"127.0.0.1 localhost\n")):
        tar.file(path, content)
    tar.folder("tmp", 0o1777)
    tar.folder("data", 0o777)
    busybox = shutil.which("busybox", path=_PATH)
    assert busybox, "busybox is not installed"
    tar.program(busybox, "/bin/busybox")
    for name in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if name != "busybox":
            tar.link(f"bin/{name}", "busybox")
    return tar


@functools.cache
def tiny_base() -> bytes:
    """Busybox, 2 MB."""
    return skeleton().bytes()


@functools.cache
def python_base() -> bytes:
    """The running Python at /usr/local, and the programs `WEB` and `WORKER` in /app."""
    tar = skeleton()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    tar.program(os.path.realpath(sys.executable), f"/usr/local/bin/{version}")
    tar.link("usr/local/bin/python3", version)
    tar.tree(library, f"usr/local/lib/{version}", frozenset(_NOT_NEEDED))
    for extension in ("_ssl", "_hashlib", "zlib", "_socket"):
        for path in (library / "lib-dynload").glob(f"{extension}.*.so"):
            tar.libraries(str(path))
    tar.file("app/web.py", WEB.encode())
    tar.file("app/worker.py", WORKER.encode())
    return tar.bytes()
