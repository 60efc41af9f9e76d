"""A model hub on this machine, just enough of it for transformers; run by the tests.

usage: hub.py FOLDER NAME...   loads each NAME from a hub whose org/x is FOLDER/x, and prints what
came as JSON lines; the name "-" shuts the hub down.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34


def serve(folder: Path) -> ThreadingHTTPServer:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            model = path.partition("/org/")[2].partition("/")[0]
            known = bool(model) and (folder / model).is_dir()
            if known and path.startswith("/api/models/") and "/tree/" not in path:
                listed = [{"rfilename": p.name} for p in (folder / model).iterdir()]
                values = {"id": f"org/{model}", "sha": COMMIT, "siblings": listed}
                self.send(200, json.dumps(values).encode(), body=body)
                return
            _, _, name = path.partition(f"/org/{model}/resolve/{COMMIT}/")
            if known and name and (folder / model / name).is_file():
                self.send(200, (folder / model / name).read_bytes(), body=body)
            elif known:
                self.send(404, b"", body=body, code="EntryNotFound")
            else:
                self.send(404, b"", body=body, code="RepoNotFound")

        def send(self, status: int, data: bytes, *, body: bool, code: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    folder, *names = sys.argv[1:]
    server = serve(Path(folder))
    # The hub client reads its address when it is imported.
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_address[1]}"
    from emotone import models
    from emotone.errors import EmotoneError

    for name in names:
        if name == "-":
            server.shutdown()
            server.server_close()
            continue
        try:
            loaded = models.load_causal_lm(name, "cpu")
            print(json.dumps([loaded.name, loaded.revision, loaded.path]))
        except EmotoneError as error:
            print(json.dumps([type(error).__name__, str(error)]))


if __name__ == "__main__":
    main()
