"""Grading a class: this project beside stock nbgrader, on the same submissions, and what the students' own code takes.

    python benchmarks/grading.py [--quick] [--parts compare,unit,scaling] [--rounds 3] [--seed 1]

Measured are whole commands, from start to exit, each on a fresh copy of the same course:

    stock nbgrader      `nbgrader autograde` with a plain configuration; the checks judge inside the kernel
    nbgrader, ours      `nbgrader autograde` with this repository's configuration: every submission in the sandbox
    elbolab, 1 job      `elbolab grade --jobs 1`, in the sandbox
    elbolab, 2 jobs     `elbolab grade --jobs 2`, in the sandbox
    floor               the code cells alone, in a fork of a process that has run them before: no sandbox, no judge

Each command grades a small and a large class; the line through the two gives the time for one more submission and the
command's own start-up, and so the time for a class of 100. Every process computes with one thread, which is the fastest
for stock nbgrader, too. The rounds are interleaved, so that other work on the machine hits all alike; of the rounds the
smallest and the median are reported, and ratios are those of the smallest. A class is a function of the seed
(benchmarks/class_of.py). Writes benchmarks/results/grading.json and prints tables.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from class_of import PLAIN_CONFIG, ROOT, course_of, environment, light, reset, scores, students, unit01
from common import describe_machine, write_result
from floor import floor_of

ELBOLAB = [sys.executable, "-c", "import sys; from autograder.cli import main; sys.exit(main())"]
NBGRADER = [sys.executable, "-m", "nbgrader", "autograde"]
WAYS = {
    "stock nbgrader": lambda unit: [*NBGRADER, unit],
    "nbgrader, ours": lambda unit: [*NBGRADER, unit],
    "elbolab, 1 job": lambda unit: [*ELBOLAB, "grade", unit, "--jobs", "1"],
    "elbolab, 2 jobs": lambda unit: [*ELBOLAB, "grade", unit, "--jobs", "2"],
}
CLASS = 100  # submissions: what start-up is divided by
GOALS = {"elbolab, 1 job": 20, "elbolab, 2 jobs": 35}  # times stock nbgrader, on the light notebook
NOISE = 0.9  # the floor is measured at another time than the rest, and a quiet machine differs by that much from itself
TWO_JOBS, OVER_FLOOR, MORE = 1.7, 1.3, 0.15  # two jobs over one; on unit 01 at most 1.3 floors and 0.15 s


def run(command: list[str], folder: Path, watch: bool = False) -> tuple[float, float]:
    """Seconds from start to exit, and (if `watch`ed, which takes a little time itself) the most memory of it all in MB.

    Raises:
        SystemExit: the command failed; its last words are printed.
    """
    with open(folder / "said.txt", "w+", encoding="utf-8") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=said, stderr=said)
        peak: list[float] = [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
        if watch:
            watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - begun
        if watch:
            watcher.join()
        if code:
            said.seek(0)
            raise SystemExit(f"{' '.join(command[-4:])} ended with code {code}:\n{said.read()[-3000:]}")
    return seconds, peak[0]


def _watch(process: subprocess.Popen, peak: list[float]) -> None:
    """Keep the largest sum of proportional memory over the process and its descendants: shared pages count once."""
    while process.poll() is None:
        total = 0
        try:
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        except psutil.Error:
            return
        for each in tree:
            try:
                memory = each.memory_full_info()
                total += getattr(memory, "pss", memory.uss)
            except (psutil.Error, OSError):
                continue  # it ended while we looked
        peak[0] = max(peak[0], total / 2**20)
        time.sleep(0.5)


def courses(folder: Path, unit: str, solved, sizes: dict, class_: list) -> dict:
    """{way: {size: course folder}}, with the small and the large class of each way."""
    ours = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    made = {}
    for way, pair in sizes.items():
        config = PLAIN_CONFIG if way == "stock nbgrader" else ours
        name = way.replace(", ", "_").replace(" ", "_")
        made[way] = {size: course_of(folder / unit / name / str(size), unit, solved, class_[:size], config) for size in pair}
    return made


def measure(folder: Path, unit: str, solved, sizes: dict, class_: list, rounds: int) -> dict:
    """Seconds of each way, and the scores that it gave: {way: {"one more": s, ..., "scores": {...}}}."""
    made = courses(folder, unit, solved, sizes, class_)
    result: dict = {way: {"runs": {size: [] for size in made[way]}} for way in made}
    floors = []
    for turn in range(rounds):
        for way, by_size in made.items():
            for size, course in by_size.items():
                reset(course)
                seconds, _ = run(WAYS[way](unit), course)
                result[way]["runs"][size].append(seconds)
                result[way]["scores"] = scores(course, unit)  # the large class comes last
            print(f"   round {turn + 1}: {way}, {size} submissions: {seconds:.1f} s", flush=True)
        floors.append(floor_of(made["elbolab, 1 job"][max(sizes["elbolab, 1 job"])] / "submitted", unit, limit=min(8, len(class_))))
    for entry in result.values():
        entry |= per_submission(entry.pop("runs"))
    floor = {"min": min(floors, key=lambda f: f["cells"]), "median": sorted(floors, key=lambda f: f["cells"])[len(floors) // 2]}
    result["floor"] = {"one more": floor["min"]["cells"], "median": floor["median"]["cells"], "fork and exit": floor["min"]["rest"]}
    return result


def per_submission(runs: dict) -> dict:
    """What one submission takes, from runs of a small and a large class {size: [s, ...]}: the line through the two.

    "of a class" is a submission's share of a class of CLASS, start-up included: measuring stock nbgrader on as many as
    that would take a quarter of an hour and give the same line.
    """
    small, large = sorted(runs)

    def line(choose) -> tuple[float, float]:
        least = {size: choose(runs[size]) for size in runs}
        one_more = (least[large] - least[small]) / (large - small)
        return one_more, max(0.0, least[small] - small * one_more)

    (one_more, start), (usual, usual_start) = line(min), line(statistics.median)
    return {
        "of a class": one_more + start / CLASS,
        "median": usual + usual_start / CLASS,
        "one more": one_more,
        "start-up": start,
        "seconds": {str(size): [round(s, 2) for s in runs[size]] for size in runs},
    }


def compare_scores(result: dict, class_: list, graded: dict) -> dict:
    """Every way gives every honest student the same points, in every check, and these are full points. `graded`: {way: how many}.

    Raises:
        SystemExit: a score differs or a submission was not graded; says whose.
    """
    honest = {student.name for student in class_ if student.honest}
    given = {way: entry.pop("scores") for way, entry in result.items() if "scores" in entry}
    reference = given["elbolab, 1 job"]
    full = {check: max(points[check] for points in reference.values()) for check in next(iter(reference.values()))}
    for name in honest & reference.keys():
        if reference[name] != full:
            raise SystemExit(f"{name} is right and gets {reference[name]}, not {full}.")
    differing = []
    for way, by_student in given.items():
        if len(by_student) != graded[way]:
            raise SystemExit(f"{way} graded {len(by_student)} of {graded[way]} submissions.")
        for name, points in by_student.items():
            if points != reference.get(name, points):
                if name in honest:
                    raise SystemExit(f"{way} gives {name} {points}, elbolab grade gives {reference[name]}.")
                differing.append(f"{name} ({way})")
    shared = {name for name in honest if all(name in by_student for by_student in given.values())}
    return {"honest, graded every way": len(shared), "others with another score than elbolab's": sorted(differing)}


def table(title: str, result: dict, goals: dict) -> dict:
    """Print the ways beside each other; returns the ratios to stock nbgrader, {way: (of a class, without start-up)}."""
    print(f"\n{title}: seconds a submission in a class of {CLASS}, and how many times stock nbgrader's throughput")
    print(f"{'':16}{'least':>9}{'median':>9}{'one more':>10}{'start-up':>10}{'times':>8}{'no start-up':>13}{'goal':>6}")
    ratios, stock = {}, result["stock nbgrader"]
    for way, entry in result.items():
        if way == "floor":
            print(f"{way:16}{entry['one more']:9.3f}{entry['median']:9.3f}  (and {entry['fork and exit']:.3f} s to fork and to end)")
            continue
        ratios[way] = [round(stock[key] / entry[key], 1) for key in ("of a class", "one more")]
        times = f"{ratios[way][0]:8.1f}{ratios[way][1]:13.1f}{goals.get(way, ''):>6}"
        print(f"{way:16}{entry['of a class']:9.3f}{entry['median']:9.3f}{entry['one more']:10.3f}{entry['start-up']:10.2f}{times}")
    return ratios


def summary(result: dict, unit_01: bool) -> dict:
    """Two jobs over one, and on unit 01 the distance from the floor, each with its goal; prints them."""
    one, two, floor = result["elbolab, 1 job"], result["elbolab, 2 jobs"], result["floor"]["one more"]
    found = {"two jobs over one": round(one["of a class"] / two["of a class"], 2)}
    found["without start-up"] = round(one["one more"] / two["one more"], 2)
    print(f"two jobs: {found['two jobs over one']} times one job, {found['without start-up']} without start-up (goal {TWO_JOBS})")
    if unit_01:
        allowed = OVER_FLOOR * floor + MORE
        found |= {"allowed by the floor": round(allowed, 3), "one more submission": round(one["one more"], 3)}
        verdict = "reached" if one["one more"] <= allowed else "NOT reached"
        print(f"one more submission: {one['one more']:.2f} s; {OVER_FLOOR} floors and {MORE} s are {allowed:.2f} s: {verdict}")
    # Nothing grades faster than the code runs: then the machine was busy, and no number of this part means anything.
    found["to be trusted"] = min(one["one more"], 2 * two["one more"]) >= NOISE * floor
    if not found["to be trusted"]:
        print("NOT to be trusted: less than the floor is impossible. Measure again on a quiet machine.")
    return found


def scaling(folder: Path, solved, sizes: list[int], seed: int) -> list[dict]:
    """Classes of the light notebook with two jobs: throughput and memory of everything that runs."""
    unit, rows = "01_light", []
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    print("\nelbolab grade --jobs 2, the light notebook")
    print(f"{'submissions':>12}{'seconds':>10}{'a submission':>14}{'a minute':>10}{'memory':>10}")
    for size in sizes:
        course = course_of(folder / f"scaling_{size}", unit, solved, students(size, seed), config)
        seconds, memory = run(WAYS["elbolab, 2 jobs"](unit), course, watch=True)
        graded = sum(bool(points) for points in scores(course, unit).values())
        if graded != size:
            raise SystemExit(f"{graded} of {size} submissions were graded.")
        rows.append({"submissions": size, "seconds": round(seconds, 1), "a minute": round(60 * size / seconds), "memory MB": round(memory)})
        print(f"{size:12,}{seconds:10.1f}{seconds / size:14.3f}{60 * size / seconds:10.0f}{memory:7.0f} MB", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, small classes; writes nothing")
    parser.add_argument("--parts", default="compare,unit,scaling", help="which of compare, unit, scaling; all three are written")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    parts, solved, rounds = options.parts.split(","), unit01(), 1 if options.quick else options.rounds
    ours = (8, 24) if options.quick else (20, 100)
    result: dict = {}
    with tempfile.TemporaryDirectory(prefix="elbolab-grading-") as made:
        folder = Path(made)
        if "compare" in parts:
            sizes = dict.fromkeys(WAYS, (1, 3) if options.quick else (1, 5)) | dict.fromkeys(("elbolab, 1 job", "elbolab, 2 jobs"), ours)
            class_ = students(max(ours), options.seed)
            light_result = measure(folder, "01_light", light(solved), sizes, class_, rounds)
            same = compare_scores(light_result, class_, {way: max(pair) for way, pair in sizes.items()})
            ratios = table("The light notebook (three checks, one plot)", light_result, GOALS)
            result["light"] = {"ways": light_result, "times stock": ratios, "scores": same, **summary(light_result, False)}
        if "unit" in parts:
            count = 2 if options.quick else 4
            class_ = students(2 * count, options.seed, cells=("bernoulli", "gaussian_kl", "variational_inference"), wrong=0)
            sizes = dict.fromkeys(WAYS, (1, 2) if options.quick else (1, 3)) | dict.fromkeys(
                ("elbolab, 1 job", "elbolab, 2 jobs"), (count, 2 * count)
            )
            unit_result = measure(folder, "01_vae", solved, sizes, class_, min(rounds, 2))
            same = compare_scores(unit_result, class_, {way: max(pair) for way, pair in sizes.items()})
            ratios = table("Unit 01, honest submissions", unit_result, {})
            result["unit 01"] = {"ways": unit_result, "times stock": ratios, "scores": same, **summary(unit_result, True)}
        if "scaling" in parts:
            result["scaling"] = scaling(folder, light(solved), [10, 40] if options.quick else [10, 100, 1000], options.seed)
    if not options.quick and len(result) == 3:
        write_result("grading", {"result": result, "setting": vars(options), "machine": describe_machine()})


if __name__ == "__main__":
    main()
