"""What the benchmarks share: words about the machine, and where results are written."""

import json
import os
import platform
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def describe_machine() -> dict:
    """Processor, cores, threads and versions, in words that can be printed."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        # Above the number of cores, other work was running at the same time and timings mean little.
        "load at the end": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def write_result(name: str, content: dict) -> None:
    """Write benchmarks/results/NAME.json and say so."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written: benchmarks/results/{path.name}")
