"""A student's first minutes in a real JupyterLab, driven through Chromium: solve, check, err, be told, validate.

Screenshots go to the folder that ELBOLAB_SCREENSHOTS names, else to pytest's temporary folder.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from lab_server import lab
from small_course import REPOSITORY, read

from autograder.catalogue import find_check
from autograder.masters import build

pytestmark = pytest.mark.slow

UNIT, CHECK = "01_vae", "vae.gaussian_rsample"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]

# What a student may well write: the right sample, but taken where no gradient is recorded.
WITHOUT_GRADIENT = """


class ReparameterizedDiagonalGaussian(ReparameterizedDiagonalGaussian):
    def rsample(self, *shape):
        with torch.no_grad():
            return super().rsample(*shape)
"""


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; without one the test is skipped, but never in CI."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sentence = "no Chromium on this machine; on Debian `apt-get install chromium` brings it"
        pytest.fail(sentence) if os.environ.get("CI") == "true" else pytest.skip(sentence)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the course with its notebooks built, so that typing in them changes nothing here."""
    root = tmp_path_factory.mktemp("lab") / "course"
    shutil.copytree(REPOSITORY / "course" / UNIT, root / "course" / UNIT, ignore=shutil.ignore_patterns("*.ipynb"))
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    build(root)
    return root


@pytest.fixture(scope="module")
def notebook_page(browser, course, tmp_path_factory):
    """The student notebook, open in JupyterLab."""
    scratch = tmp_path_factory.mktemp("server")
    # All cells stay in the page, so that the test can find those out of sight; and nobody asks about news.
    for setting, value in {"notebook-extension/tracker": {"windowingMode": "none"},
                           "apputils-extension/notification": {"fetchNews": "false"}}.items():
        path = scratch / "jupyterlab_settings_dir" / "@jupyterlab" / f"{setting}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value))
    with lab(course, scratch) as server:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{server.url}lab/tree/assignments/{UNIT}/exercises.ipynb?token={server.token}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content")
        page.get_by_text("Python 3 (ipykernel)").first.wait_for()
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached")
        yield page
        page.close()


@pytest.fixture(scope="module")
def names(course):
    """(solved source, cell id of the work, cell id of its test) of the first exercise."""
    solved = read(course / "solutions" / UNIT / "exercises.ipynb")
    marked = [cell for cell in solved.cells if "nbgrader" in cell.metadata]
    place = next(i for i, cell in enumerate(marked) if f'"{CHECK}"' in cell.source and cell.metadata.nbgrader.grade)
    return marked[place - 1].source, marked[place - 1].id, marked[place].id


class Notebook:
    """Keyboard and eyes on the notebook in the page."""

    def __init__(self, page, cells, folder):
        self.page, self.folder = page, folder
        self.ids = [cell.id for cell in cells]
        folder.mkdir(parents=True, exist_ok=True)

    def cell(self, name):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.ids.index(name))

    def write(self, name, source):
        """Replaces the text of a cell, as typing does; whole lines at once, so that nothing is indented twice."""
        self.cell(name).locator(".cm-content").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)

    def run(self, first, last):
        """Selects the cell `first` and presses Shift+Enter down to `last`; waits until all of it has run."""
        self.page.evaluate("document.querySelectorAll('.jp-OutputArea-output').forEach(e => e.dataset.seen = 1)")
        cell = self.cell(first)
        cell.scroll_into_view_if_needed()
        cell.locator(".jp-InputPrompt").first.click()
        for _ in range(self.ids.index(first), self.ids.index(last) + 1):
            self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            """([index]) => {
                const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
                const prompts = cells.slice(0, index + 1)
                    .map(c => c.querySelector('.jp-InputPrompt')?.textContent ?? '');
                return /\\[\\d+\\]/.test(prompts[index]) && !prompts.some(p => p.includes('*'));
            }""", arg=[self.ids.index(last)], timeout=120_000)

    def output(self, name):
        """The text under a cell, once there is some that was not there before the last run."""
        fresh = self.cell(name).locator(".jp-OutputArea-output:not([data-seen])")
        fresh.first.wait_for(timeout=60_000)
        return "\n".join(fresh.all_inner_texts())

    def photograph(self, title, name=None):
        if name:
            self.cell(name).locator(".jp-OutputArea").first.scroll_into_view_if_needed()
            self.page.wait_for_timeout(400)
        self.page.screenshot(path=self.folder / f"{title}.png")


@pytest.fixture(scope="module")
def notebook(notebook_page, course, tmp_path_factory):
    folder = Path(os.environ.get("ELBOLAB_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    return Notebook(notebook_page, read(course / "assignments" / UNIT / "exercises.ipynb").cells, folder)


def test_the_untouched_exercise_says_that_it_is_to_be_done(notebook, names):
    _, _, test = names
    notebook.photograph("1-opened")
    notebook.run(notebook.ids[0], test)
    said = notebook.output(test)
    notebook.photograph("2-untouched", test)
    assert "✗" in said and "still to be done" in said


def test_the_solution_shows_the_panel_of_a_pass(notebook, names):
    source, work, test = names
    notebook.write(work, source)
    notebook.run(work, test)
    said = notebook.output(test)
    notebook.photograph("3-solved", test)
    points = find_check(CHECK).max_points
    assert "✓" in said and re.search(rf"\b{points}\b.*\b{points}\b", said) and "Error" not in said


def test_a_mistake_is_named(notebook, names):
    source, work, test = names
    notebook.write(work, source + WITHOUT_GRADIENT)
    notebook.run(work, test)
    said = notebook.output(test)
    notebook.photograph("4-mistake", test)
    assert "✗" in said and "AssertionError" in said and "Traceback" not in said
    assert any(mistake.title in said for mistake in find_check(CHECK).mistakes), said


def test_validate_opens_its_dialog(notebook, names):
    notebook.page.get_by_role("button", name="Validate").click()
    dialog = notebook.page.locator(".jp-Dialog")
    dialog.wait_for(timeout=300_000)
    notebook.photograph("5-validate")
    said = dialog.inner_text()
    assert "Validation Results" in said and "failed" in said and CHECK in said, said
