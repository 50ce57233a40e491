"""LaTeX tables put through pdfLaTeX."""

import subprocess

PREAMBLE = (
    r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{lmodern}\usepackage{booktabs}\usepackage{graphicx}"
)


def compiled(folder, body):
    """What pdfLaTeX said, and the text of the pages that it made; an error in the body fails the test."""
    (folder / "t.tex").write_text(rf"{PREAMBLE}\begin{{document}}{body}\end{{document}}")
    done = run(folder, "pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex")
    assert done.returncode == 0, done.stdout[-2000:]
    shown = run(folder, "pdftotext", "-layout", "t.pdf", "-")
    assert shown.returncode == 0, shown.stderr
    return done.stdout, shown.stdout


def run(folder, *command):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
