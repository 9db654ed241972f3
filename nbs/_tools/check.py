"""Check the shape of the project: `python nbs/_tools/check.py`.

A module imports only from notebooks that stand before its own in the sidebar, nothing is star-imported, a notebook stays
below 300 kB, a title has a cell of its own, no stored output is a traceback that its cell did not ask for, and none names a temporary
folder of the machine that ran it. With --readme it prints
the README's Python lines instead, so that they can be run.
"""
import argparse
import ast
import re
import sys
from pathlib import Path

import nbformat
from nbdev.config import get_config

LIMIT_KB = 300


def exported(path):
    """The modules that the notebook at `path` writes, by `default_exp` and `export name`."""
    text = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
    return set(re.findall(r"^#\|\s*(?:default_exp|exports?)\s+(\w+)", text, re.M))


def chapters(folder):
    """Map each exported module to the place of its notebook in the sidebar, which tells the order of the story."""
    told = re.findall(r"\d\d_\w+\.ipynb", (folder.parent / "_quarto.yml").read_text(encoding="utf-8"))
    return {module: told.index(path.name) for path in folder.glob("[0-9][0-9]_*.ipynb") for module in exported(path)}


def imports(tree):
    """The sibling modules that a module imports anywhere, and its star imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            inside = node.level == 1 or (node.module or "").startswith("multimodal_pop")
            names = [node.module.removeprefix("multimodal_pop.")] if node.module else [a.name for a in node.names]
            yield (names if inside else []), any(a.name == "*" for a in node.names)
        elif isinstance(node, ast.Import):
            yield [a.name.split(".")[1] for a in node.names if a.name.startswith("multimodal_pop.")], False


def check_modules(package, number):
    """Complaints about the imports of the package."""
    for path in sorted(p for p in package.glob("*.py") if not p.name.startswith("_")):
        if path.stem not in number:
            yield f"{path.name}: no notebook exports it"
            continue
        for names, star in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if star:
                yield f"{path.name}: star import"
            for name in names:
                if name != path.stem and number.get(name, -1) > number[path.stem]:
                    yield f"{path.name}: imports {name}, a later chapter"


def texts(out):
    """What an output says in words; pictures are no words."""
    return [out.get("text", ""), *(str(value) for kind, value in out.get("data", {}).items() if not kind.startswith("image/") or kind == "image/svg+xml")]


def check_notebooks(folder):
    """Complaints about the size and the outputs of the notebooks."""
    for path in sorted(folder.glob("*.ipynb")):
        if path.stat().st_size > LIMIT_KB * 1000:
            yield f"{path.name}: {path.stat().st_size // 1000} kB, above {LIMIT_KB}"
        cells = nbformat.read(path, 4).cells
        title = next((c.source for c in cells if c.cell_type == "markdown"), "")
        if any(line and not line.startswith(("# ", "> ")) for line in title.splitlines()):
            yield f"{path.name}: the title's cell holds more than title and subtitle, and the rest would not reach the site"
        for place, cell in enumerate(cells):
            if any(out.output_type == "error" for out in cell.get("outputs", [])):
                yield f"{path.name}: cell {place} holds a traceback"
            if any("/tmp/" in text for out in cell.get("outputs", []) for text in texts(out)):
                yield f"{path.name}: cell {place} shows a path in /tmp/"


def readme_code(path):
    """The Python blocks of the README, joined."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S))


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--readme", action="store_true", help="print the README's Python lines")
    cfg = get_config()
    if args.parse_args().readme:
        print(readme_code(cfg.config_path / "README.md"))
        return 0
    bad = [*check_modules(cfg.lib_path, chapters(cfg.nbs_path)), *check_notebooks(cfg.nbs_path)]
    print("\n".join(bad) or "imports and notebooks are in order")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
