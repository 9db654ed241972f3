"""Check the shape of the project: `python nbs/_tools/check.py`.

A module imports only from notebooks that stand before its own in the sidebar, nothing is star-imported, a notebook stays
below 300 kB, a title has a cell of its own, no stored output is a traceback that its cell did not ask for, none names a temporary
folder of the machine that ran it, every picture has a text for those who cannot see it, and no line of code is so wide that
the site cuts it off. With --readme it prints the README's Python lines instead, so that they can be run.
"""
import argparse
import ast
import io
import itertools
import re
import sys
import tokenize
from pathlib import Path

import nbformat
from nbdev.config import get_config

LIMIT_KB = 300
LIMIT_CHARACTERS = 140


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
    data = out.get("data", {})
    return [out.get("text", ""), *(str(data[kind]) for kind in data if not kind.startswith("image/") or kind == "image/svg+xml")]


def unseen(cell):
    """What a code cell keeps from those who cannot see its pictures, and what to do about it."""
    top = "\n".join(itertools.takewhile(lambda line: line.startswith("#|"), cell.source.splitlines()))
    shown = [out.get("data", {}) for out in cell.get("outputs", [])]
    if any(kind.startswith("image/") for data in shown for kind in data) and not re.search(r'^#\| fig-alt: "[^"\\]+"$', top, re.M):
        yield 'shows a picture without words: add a line #| fig-alt: "what is drawn, and what it shows" to the top of the cell'
    if any(not re.search(r"\salt=", tag) for data in shown for tag in re.findall(r"<img\b[^>]*>", data.get("text/html", ""))):
        yield "shows HTML with a picture that has no alt: give its <img> one where it is written"


def wide_lines(source):
    """The lines of a code cell that are wider than the limit even without what their strings and comments say."""
    if not any(len(line) > LIMIT_CHARACTERS for line in source.splitlines()):
        return
    quoted = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    said = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in quoted:
            for line in range(token.start[0], token.end[0] + 1):
                said[line] = said.get(line, 0) + (len(token.string) if token.start[0] == token.end[0] else len(token.line))
    for k, line in enumerate(source.splitlines(), 1):
        if len(line) - said.get(k, 0) > LIMIT_CHARACTERS:
            yield line


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
            yield from (f"{path.name}: cell {cell.id} {wrong}" for wrong in unseen(cell))
            if cell.cell_type == "code":
                yield from (f"{path.name}: cell {cell.id} has a line of {len(line)} characters" for line in wide_lines(cell.source))


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
