"""copy-package.sh, run against a server of this machine and with a program in place of the Azure CLI."""

import hashlib
import http.server
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

PACKAGE = b"the package"
RIGHT = hashlib.sha256(PACKAGE).hexdigest()
AZ = """#!/usr/bin/env bash
case "$*" in
  *"blob upload"*) echo tried >>"$FOLDER/tries"; [ "$(wc -l <"$FOLDER/tries")" -ge "$WORKS_AT" ] || exit 1
     while [ "$1" != -f ]; do shift; done; cp "$2" "$FOLDER/uploaded" ;;
  *generate-sas*) echo "https://a.example.net/c/mati-sync.zip?sig=x" ;;
esac
"""


class Server(http.server.BaseHTTPRequestHandler):
    """A release: the package behind a redirect, as GitHub has it, and its checksum beside it."""

    def do_GET(self):
        right = f"{RIGHT}  mati-sync.zip\n".encode()
        body = {"/moved.zip": PACKAGE, "/package.zip.sha256": right, "/damaged.zip": b"other", "/damaged.zip.sha256": right}
        self.send_response(302 if self.path == "/package.zip" else 200 if self.path in body else 404)
        if self.path == "/package.zip":
            self.send_header("Location", "/moved.zip")
        self.end_headers()
        self.wfile.write(body.get(self.path, b""))

    def log_message(self, *_):
        pass


def tried(root, base, name, sha256="", works_at=1):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "az").write_text(AZ)
        (Path(folder) / "az").chmod(0o755)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "FOLDER": folder, "WORKS_AT": str(works_at),
                       "PACKAGE_URL": f"{base}/{name}", "PACKAGE_SHA256": sha256, "ACCOUNT": "a", "CONTAINER": "c",
                       "PAUSE": "0", "AZ_SCRIPTS_OUTPUT_PATH": f"{folder}/outputs", "no_proxy": "*"}
        done = subprocess.run(["bash", root / "copy-package.sh"], env=environment, text=True, capture_output=True)
        uploaded, outputs = Path(folder) / "uploaded", Path(folder) / "outputs"
        return (done.returncode == 0, uploaded.is_file() and uploaded.read_bytes() == PACKAGE,
                json.loads(outputs.read_text()) if outputs.is_file() else None, done.stderr)


def check(root):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    urls = {"url": "https://a.example.net/c/mati-sync.zip", "signedUrl": "https://a.example.net/c/mati-sync.zip?sig=x"}
    cases = {  # name: (package, sha256, upload that works), (good, what is said)
        "behind a redirect": (("package.zip",), (True, "")),
        "with a checksum given": (("package.zip", RIGHT.upper()), (True, "")),
        "a role that works late": (("package.zip", "", 3), (True, "")),
        "a role that never works": (("package.zip", "", 99), (False, "did not take the package")),
        "other bytes than the checksum": (("damaged.zip",), (False, "Nothing was copied")),
        "another checksum given": (("package.zip", "0" * 64), (False, "Nothing was copied")),
        "no package there": (("none.zip",), (False, "publishCommand")),
        "no checksum there": (("moved.zip",), (False, "packageSha256")),
    }
    faults = []
    for name, (arguments, (good, said)) in cases.items():
        found = tried(root, base, *arguments)
        if found[:3] != (good, good, urls if good else None) or said not in found[3]:
            faults.append(f"{name}: {found}")
    server.shutdown()
    return faults
