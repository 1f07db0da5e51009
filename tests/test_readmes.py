"""Every worked example in a README runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "farm_sensors", "orders", "grading", "contracts", "api")
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    return [
        (f"{package}-{number}", code)
        for package in PACKAGES
        for number, code in enumerate(EXAMPLE.findall((ROOT / package / "README.md").read_text()), start=1)
    ]


@pytest.mark.parametrize(("name", "code"), examples(), ids=lambda value: value if len(value) < 40 else "")
def test_example_runs(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"{name}.py", "exec"), {"__name__": "example"})  # noqa: S102  # our own READMEs


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_an_example(package: str) -> None:
    assert EXAMPLE.search((ROOT / package / "README.md").read_text())


DOCUMENTS = [p for p in sorted(ROOT.glob("**/*.md")) if not {"node_modules", ".venv", ".run"} & set(p.parts)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
