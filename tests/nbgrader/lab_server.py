"""A JupyterLab on a free port, with folders of its own, for the tests that need a real server."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import requests
from ports import free_port
from small_course import environment

OWN_FOLDERS = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
               "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")


@dataclass
class Server:
    """Where the server is: `url` ends with a slash; `get` asks with the token."""

    url: str
    token: str

    def get(self, path):
        return self.ask("GET", path)

    def ask(self, method, path):
        answer = requests.request(method, self.url + path, headers={"Authorization": f"token {self.token}"}, timeout=120)
        answer.raise_for_status()
        return answer


@contextlib.contextmanager
def lab(root, scratch, seconds=120):
    """Starts JupyterLab in the folder `root`; its settings, run files and log go to the folder `scratch`."""
    port = free_port()
    server = Server(f"http://127.0.0.1:{port}/", secrets.token_hex(16))
    folders = {name: str(scratch / name.lower()) for name in OWN_FOLDERS}
    for folder in folders.values():
        os.makedirs(folder, exist_ok=True)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
               "--ServerApp.port_retries=0", f"--IdentityProvider.token={server.token}",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    log = scratch / "jupyterlab.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=root, env=environment(**folders), stdout=output,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(server, process, log, seconds)
        yield server
    finally:
        _stop(process)


def _wait_for(server, process, log, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            server.get("api/status")
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def _stop(process):
    """Ends the server and its kernels: they are in a process group of their own."""
    for name in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, name)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
