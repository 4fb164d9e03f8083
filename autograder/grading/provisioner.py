"""Jupyter kernels in the sandbox: a kernel provisioner, and the engine's session on such a kernel.

A kernel specification asks for it by `"metadata": {"kernel_provisioner": {"provisioner_name": "elbolab-sandbox"}}`;
`nbgrader autograde` and the formgrader's button get it from nbgrader_config.py. The kernel is a child of this process's
warm parent, like any other submission. Its sockets are Unix sockets in a small folder inside the sandbox, which has no network.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerBase, KernelProvisionerFactory
from traitlets import Enum, Int

from autograder.channel import Channel, Closed, Late, Malformed
from autograder.grading.sandbox import Job, Limits
from autograder.grading.session import Lost, ParentDied, warm_sandbox

__all__ = ["KernelSession", "SandboxKernelManager", "SandboxProvisioner"]

PROVISIONER = "elbolab-sandbox"
START_SECONDS = 60.0


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a kernel by forking this process's warm parent in its sandbox."""

    sandbox = Enum(["bubblewrap", "none"], "bubblewrap", help="What student code runs in.").tag(config=True)
    seed = Int(0, help="Where the kernel's random generators start.").tag(config=True)
    job: Job | None = None

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and has not been cleaned up."""
        return self.job is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Writes the connection file; the kernel's sockets will be in the sandbox."""
        manager = self.parent
        self.limits = getattr(manager, "limits", Limits())
        sandbox, self.name = warm_sandbox(self.sandbox, self.limits), secrets.token_hex(6)
        self.warm = sandbox
        manager.transport, manager.ip = "ipc", f"{sandbox.kernels_outside}/{self.name}/k"
        kwargs.pop("extra_arguments", None)
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Forks the kernel.

        Raises:
            SandboxError: there is no sandbox on this machine.
            OSError: the warm parent has just died.
        """
        inside = f"{self.warm.kernels_inside}/{self.name}"
        info = self.connection_info | {"ip": f"{inside}/k", "key": bytes(self.connection_info["key"]).decode()}
        connection = {k: v for k, v in info.items() if isinstance(v, (str, int))}
        self.job = self.warm.start(self.seed, kind="kernel", limits=self.limits, shared=inside, connection=connection)
        self.channel = Channel(self.job.read, self.job.write)
        files = getattr(self.parent, "files", {})
        self.channel.send_json({"files": len(files)})
        for name, content in files.items():
            self.channel.send_json({"name": name})
            self.channel.send(content)
        return self.connection_info

    async def poll(self) -> int | None:
        """None while the kernel runs, else its exit code."""
        if self.job is None:
            return 0
        return self.job.end.get("ended", 1) if self.job.finished() else None

    async def wait(self) -> int | None:
        """Waits for the kernel's end."""
        while (code := await self.poll()) is None:
            await asyncio.sleep(0.05)
        self.job = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Ends the kernel; interrupts go by message, as its specification says."""
        if self.job and signum != signal.SIGINT:
            self.job.stop()

    async def kill(self, restart: bool = False) -> None:
        """Ends the kernel and all that it started."""
        if self.job:
            self.job.stop()

    async def terminate(self, restart: bool = False) -> None:
        """As kill: nothing in the sandbox needs time to tidy up."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is left: the warm parent empties the folder of sockets before the next kernel."""


class SandboxKernelManager(KernelManager):
    """A kernel manager whose kernels are in the sandbox, whatever specification a notebook names."""

    sandbox = Enum(["bubblewrap", "none"], "bubblewrap").tag(config=True)
    seed = Int(0)
    limits = Limits()
    files: dict[str, bytes] = {}

    @property
    def kernel_spec(self) -> KernelSpec:
        """The specification of the sandbox's kernel."""
        # Known by its entry point; a checkout that is only on the path has none.
        entry = EntryPoint(PROVISIONER, f"{__name__}:SandboxProvisioner", KernelProvisionerFactory.GROUP_NAME)
        KernelProvisionerFactory.instance().provisioners.setdefault(PROVISIONER, entry)
        config = {"sandbox": self.sandbox, "seed": self.seed}
        return KernelSpec(argv=[], display_name="ELBO Lab sandbox", language="python", interrupt_mode="message",
                          metadata={"kernel_provisioner": {"provisioner_name": PROVISIONER, "config": config}})


class KernelSession:
    """The engine's session on a Jupyter kernel in the sandbox."""

    def __init__(self, seed: int, limits: Limits, sandbox: str, files: dict[str, bytes] | None = None):
        self.limits = limits
        self.manager = SandboxKernelManager(sandbox=sandbox, seed=seed)
        self.manager.limits, self.manager.files = limits, files or {}
        self.manager.start_kernel()
        self.provisioner = self.manager.provisioner
        self.client = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=START_SECONDS)
        except RuntimeError as error:
            self.close()
            raise ParentDied from error

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def run(self, source: str, seconds: float) -> list[Any]:
        """What the cell reported. Raises Lost."""
        reported: list[Any] = []
        asked = self.client.execute(source, store_history=True, allow_stdin=False, stop_on_error=False)
        if not self.listen(asked, time.monotonic() + seconds, reported.append):
            self.manager.interrupt_kernel()
            if not self.listen(asked, time.monotonic() + self.limits.grace, reported.append):
                raise Lost("late")
            sentence = "This cell ran too long and was stopped. Is there a loop that never ends?"
            reported = [r for r in reported if r.get("ename") != "KeyboardInterrupt"]
            reported.append({"output_type": "error", "ename": "CellTimeoutError", "evalue": sentence, "traceback": [sentence]})
        return reported

    def probe(self, request: dict[str, Any], inputs: bytes) -> bytes:
        """What the probe's process sent. Raises Lost."""
        deadline = time.monotonic() + request["seconds"] + self.limits.grace
        asked = self.client.execute("__import__('autograder.inside.serve', fromlist=['x']).serve_one()", silent=True, store_history=False)
        channel = self.provisioner.channel
        try:
            channel.send_json(request, deadline)
            channel.send(inputs, deadline)
            reply = channel.receive(deadline)
        except Late:
            raise Lost("late") from None
        except Closed:
            self.gone()
        except Malformed:
            raise Lost("output") from None
        self.listen(asked, deadline, lambda report: None)
        return reply

    def gone(self) -> None:
        """Raises what the end of the process means."""
        end = self.provisioner.job.stop()
        if "ended" not in end:
            raise ParentDied
        raise Lost("memory" if end["reason"] == "memory" else "ended")

    def listen(self, asked: str, deadline: float, keep: Callable[[dict[str, Any]], Any]) -> bool:
        """Hear what the kernel publishes until it has done what was asked; False if the time is over first. Raises Lost."""
        heard = 0
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self.client.iopub_channel.get_msg(timeout=min(left, 0.25))
            except Exception as error:  # queue.Empty, or a message that is none
                if type(error).__name__ == "Empty" and self.provisioner.job.finished():
                    self.gone()
                continue
            heard += len(str(message.get("content", "")))
            if heard > self.limits.output:
                raise Lost("output")
            if message.get("parent_header", {}).get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content.get("execution_state") == "idle":
                return True
            if (report := as_report(kind, content)) is not None:
                keep(report)
        return False


def as_report(kind: str, content: Any) -> dict[str, Any] | None:
    """A kernel's message in the form that the sandbox's shell reports; None for those that are no output."""
    if not isinstance(content, dict):
        return None
    if kind in ("stream", "error", "clear_output", "display_data", "execute_result", "update_display_data"):
        transient = content.get("transient")
        more = {"display_id": transient["display_id"]} if isinstance(transient, dict) and "display_id" in transient else {}
        return {**content, "output_type": kind, **more}
    return None
