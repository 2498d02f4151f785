"""A W&B server that takes a run in, and then, if it is asked to, fails in one way."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Way = Literal["healthy", "silent", "error", "slow"]
ARTIFACT = {"id": "YQ", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "YQ"}}}  # nothing to send


def answer(name: str, variables: dict[str, Any], url: str) -> dict[str, Any]:
    """What W&B's client needs to hear of a query or mutation."""
    match name:
        case "Viewer":
            return {"viewer": {"id": "u", "entity": "e", "username": "u", "flags": "{}", "teams": {"edges": []}}}
        case "UpsertBucket":
            run = variables.get("name") or "run"
            bucket = {"id": "cnVu", "name": run, "displayName": variables.get("displayName") or run, "config": "{}"}
            bucket |= {"project": {"name": variables.get("project") or "p", "entity": {"name": "e"}}}
            return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        case "RunResumeStatus":
            return {"model": None}
        case "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        case "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{url}/upload"} for file in variables["files"]]
            return {"createRunFiles": {"runID": "cnVu", "uploadHeaders": [], "files": files}}
        case "ArtifactType":
            return {"project": {"artifact": None}}
        case "CreateArtifact":
            return {"createArtifact": {"artifact": ARTIFACT}}
        case "NotifyScriptableRunAlert":
            return {"notifyScriptableRunAlert": {"success": True}}
    return {}


class Server:
    """Listens on a free port of this machine.

    Args:
        way: how it fails: ``silent``: takes requests and never answers; ``error``: answers 500; ``slow``: answers after
            five seconds.
        after: so many rows of metrics were sent; before that it is healthy.
    """

    def __init__(self, way: Way = "healthy", after: int = 1) -> None:
        self.way, self.after = way, after
        self.rows = 0
        self.asked: list[str] = []
        self.closed = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

            def do_POST(self) -> None:
                owner._answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def do_GET(self) -> None:
                owner._answer(self, b"")

            do_PUT = do_POST

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client has gone

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        text = body.decode(errors="replace")
        query = re.search(r"(?:query|mutation) (\w+)", text)
        name = query[1] if query else to.path
        content = json.loads(text) if query or name.endswith("/file_stream") else {}
        self.asked.append(name)
        failing = self.way != "healthy" and self.rows >= self.after
        for file, each in (content.get("files") or {}).items():
            self.rows += len(each.get("content", [])) if "history" in file else 0
        if failing and self.way == "silent":
            self.closed.wait()
            return
        if failing and self.way == "slow":
            self.closed.wait(5)
        status = 500 if failing and self.way == "error" else 200
        told = {"data": answer(name, content.get("variables") or {}, self.url)} if query else {}
        body = json.dumps(told).encode()
        try:
            to.send_response(status)
            to.send_header("Content-Type", "application/json")
            to.send_header("Content-Length", str(len(body)))
            to.end_headers()
            to.wfile.write(body)
        except OSError:
            pass  # who asked has gone
