"""Drive the annotation desk and the sheet in a real browser: `python nbs/_tools/browser.py [--shots FOLDER]`.

Starts JupyterLab on this machine, opens a notebook in headless Chromium, labels twenty images by keyboard alone, kills
the kernel (SIGKILL) on the way, reopens, and compares what was typed with what is stored; then does the same with the
sheet, whose answers are downloaded and imported. Prints one line of JSON. Leaves with code 77 and says why where there
is no Chromium or no playwright (`pip install playwright`; its own browsers are not needed).
"""
import argparse
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SKIP, IMAGES, KILL_AT = 77, 20, 12
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

SETUP = f"""
import os
import numpy as np, pandas as pd
from multimodal_pop.desk import Annotator
from multimodal_pop.phantom import cardiac_phantom
cohort = cardiac_phantom({IMAGES}, seed=3)
worklist = pd.DataFrame({{"row": np.random.default_rng(0).permutation({IMAGES}), "score": np.linspace(0.9, 0.1, {IMAGES}).round(2),
                         "reason": "image and report disagree", "evidence": "“Old <b>infarct</b> & scar.”"}})
heat = lambda row: np.exp(-((np.mgrid[:64, :64] - 32) ** 2).sum(0) / 90)
open("kernel.pid", "w").write(str(os.getpid()))
desk = Annotator(worklist, cohort, choices=["absent", "present"], store="answers.db", annotator="ada", question="Is there an infarction?",
                 labels=cohort.labels["infarction"], overlay=heat)
"""


def what_is_missing():
    """Why the test can't run here, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed (pip install playwright)"
    return None if find_chromium() else "no Chromium or Chrome found (apt-get install chromium)"


def find_chromium():
    """The browser's path, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def jupyter(folder):
    """A JupyterLab of its own in `folder`; gives the address of its notebook."""
    port, token = free_port(), secrets.token_hex(16)
    no_news = folder / ".settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    no_news.parent.mkdir(parents=True)
    no_news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    places = {"JUPYTERLAB_SETTINGS_DIR": ".settings", "JUPYTER_CONFIG_DIR": ".config", "JUPYTER_RUNTIME_DIR": ".run",
              "JUPYTERLAB_WORKSPACES_DIR": ".ws", "JUPYTER_DATA_DIR": ".data"}
    settings = {name: str(folder / place) for name, place in places.items()} | {"OMP_NUM_THREADS": "1"}
    own = {name: value for name, value in os.environ.items() if not name.startswith(("JPY_", "JUPYTER", "IPYTHON", "MPLBACKEND"))}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with open(folder / "jupyter.log", "w") as log:
        server = subprocess.Popen(command, env=own | settings, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=2)
                break
            if server.poll() is not None:
                raise RuntimeError("JupyterLab ended: " + (folder / "jupyter.log").read_text()[-2000:])
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/lab/tree/desk.ipynb?token={token}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)


def write_notebook(folder):
    """The notebook that is opened: one cell that shows the desk, and one below that Lab's shortcuts could spoil."""
    import nbformat
    cells = [nbformat.v4.new_code_cell(SETUP + "desk"), nbformat.v4.new_code_cell("'untouched'")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "desk.ipynb")


def show_desk(page):
    """Run the first cell by keyboard and wait for the desk to have an image."""
    prompt = page.locator(".jp-Notebook .jp-InputPrompt").first
    for _ in range(30):  # Lab drops a run that comes before its kernel is connected, and may ask something first
        while (dialog := page.locator(".jp-Dialog .jp-mod-accept")).count():
            dialog.first.click()
            page.wait_for_timeout(500)
        page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(3000)
        if prompt.inner_text().strip() != "[ ]:":
            break
    page.wait_for_function("document.querySelector('.mmp-desk')?.dataset.row", timeout=120_000)
    page.wait_for_function("document.activeElement?.classList.contains('mmp-desk')", timeout=10_000)


def type_answers(page, n, delay):
    """Press n keys as soon as there is a picture, some faster than the kernel; what was on the screen at each."""
    typed = {}
    for i in range(n):
        page.wait_for_function("(d => d.dataset.row && Number(d.dataset.waiting) < 3)(document.querySelector('.mmp-desk'))", timeout=30_000)
        row = page.evaluate("document.querySelector('.mmp-desk').dataset.row")
        key = str((int(row) * 7 + i) % 2)
        page.keyboard.press(key)
        typed[int(row)] = int(key)
        page.wait_for_timeout(delay)
    return typed


def settle(page):
    """Wait until the desk says that everything is saved."""
    page.wait_for_function("document.querySelector('.mmp-desk').dataset.waiting === '0'", timeout=30_000)


def stored(folder):
    """Votes in the store, read by another process than the kernel."""
    from multimodal_pop.desk import AnswerStore
    return AnswerStore(folder / "answers.db").votes().set_index("row")["label"].to_dict()


def kill_kernel(page, folder, shots):
    """SIGKILL to the kernel; a key pressed then must be reported as not saved."""
    before = stored(folder)
    os.kill(int((folder / "kernel.pid").read_text()), signal.SIGKILL)
    page.keyboard.press("1")
    page.wait_for_function("document.querySelector('.mmp-desk [role=alert]').textContent.startsWith('NOT SAVED')", timeout=15_000)
    page.locator(".mmp-desk").screenshot(path=shots / "killed.png")
    assert stored(folder) == before, "an answer appeared or vanished"
    return page.locator(".mmp-desk [role=alert]").inner_text()


def reopen(page, address):
    """Load the page anew and show the desk again with a new kernel."""
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .cm-content", timeout=120_000)
    show_desk(page)


def drive_desk(browser, folder, shots):
    """Twenty images, a killed kernel, nothing lost."""
    write_notebook(folder)
    with jupyter(folder) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.set_default_timeout(120_000)
        reopen(page, address)
        typed = type_answers(page, 3, 400)
        settle(page)
        page.locator(".mmp-desk").screenshot(path=shots / "desk.png")
        page.keyboard.press("o")
        assert not page.locator(".mmp-desk .cover").is_visible(), "the overlay stays"
        typed |= type_answers(page, KILL_AT - 3, 60)
        page.keyboard.press("Backspace")
        settle(page)
        page.wait_for_timeout(300)
        typed.pop(int(page.evaluate("document.querySelector('.mmp-desk').dataset.row")))
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        settle(page)
        assert stored(folder) == typed and len(typed) == KILL_AT - 1, (stored(folder), typed)
        warning = kill_kernel(page, folder, shots)
        reopen(page, address)
        status = page.locator(".mmp-desk [role=status]").inner_text()
        assert status.startswith(f"{KILL_AT - 1} of {IMAGES} answered"), status
        typed |= type_answers(page, IMAGES - KILL_AT + 1, 60)
        settle(page)
        page.wait_for_selector(".mmp-desk .done:not([hidden])", timeout=15_000)
        page.screenshot(path=shots / "lab.png")
        cells = page.locator(".jp-Notebook .jp-CodeCell").count(), page.locator(".jp-Notebook .jp-MarkdownCell").count()
        assert cells == (2, 0), f"JupyterLab's shortcuts took keys of the desk: {cells}"
        page.close()
    assert stored(folder) == typed and len(typed) == IMAGES, (stored(folder), typed)
    return {"typed": len(typed), "stored": len(stored(folder)), "lost": 0, "warning": warning}


def drive_sheet(browser, folder, shots):
    """Twenty images on the sheet, without any network, reloaded on the way; the download imported."""
    from multimodal_pop.desk import export_worklist, import_answers
    space = {}
    places = {'"answers.db"': folder / "sheet.db", '"kernel.pid"': folder / "sheet.pid"}
    setup = SETUP
    for name, place in places.items():
        setup = setup.replace(name, repr(str(place)))
    exec(setup, space)
    desk = space["desk"]
    made = export_worklist(desk.worklist, space["cohort"], folder / "sheet", choices=["absent", "present"], question=desk.question,
                           overlay=space["heat"])
    context = browser.new_context(viewport={"width": 1100, "height": 900}, accept_downloads=True, offline=True)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((made / "sheet.html").as_uri())
    page.fill("#annotator", "bob")
    page.locator("article").first.focus()
    typed = type_sheet(page, 11)
    page.screenshot(path=shots / "sheet.png")
    page.reload()
    assert page.locator("article.answered").count() == 11, "answers lost on reload"
    page.keyboard.press("Tab")
    page.locator("article:not(.answered)").first.focus()
    typed |= type_sheet(page, IMAGES - 11)
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(folder / "answers.csv")
    votes = import_answers(folder / "answers.csv", desk.worklist)
    assert votes.set_index("row")["label"].to_dict() == typed and set(votes["annotator"]) == {"bob"} and not said, (votes, typed, said)
    context.close()
    return {"typed": len(typed), "imported": len(votes), "complaints": len(said)}


def type_sheet(page, n):
    """Press n keys on the sheet; the row that had the keyboard at each."""
    typed = {}
    for i in range(n):
        row = page.evaluate("document.activeElement.closest('article').dataset.row")
        page.keyboard.press(str((int(row) + i) % 2))
        typed[int(row)] = (int(row) + i) % 2
    return typed


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--shots", type=Path, help="folder for screenshots")
    opts = args.parse_args()
    if reason := what_is_missing():
        print(f"skipped: {reason}")
        return SKIP
    from playwright.sync_api import sync_playwright
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, sync_playwright() as play:
        folder = Path(name)
        shots = opts.shots or folder
        shots.mkdir(parents=True, exist_ok=True)
        browser = play.chromium.launch(executable_path=find_chromium(), args=QUIET, headless=True)
        result = {"desk": drive_desk(browser, folder, shots), "sheet": drive_sheet(browser, folder, shots)}
        browser.close()
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
