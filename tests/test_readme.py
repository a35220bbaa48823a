"""The README: examples run, the first is the demo's, links lead somewhere, the table is current."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent))  # benchmarks is not installed

from benchmarks import readme_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks" / "README.md"]


def without_annotations(code: str) -> list[ast.stmt]:
    """All statements at any depth; functions without annotations and docstring."""
    statements = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.stmt)]
    for function in statements:
        if isinstance(function, ast.FunctionDef):
            function.returns = None
            for argument in function.args.args:
                argument.annotation = None
            if ast.get_docstring(function) is not None:
                del function.body[0]
    return statements


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("index", range(len(EXAMPLES)))
def test_an_example_runs(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = EXAMPLES[index]
    for module in set(re.findall(r"^(?:from|import) (\w+)", example, re.MULTILINE)):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(example, f"README.md, example {index}", "exec"), names)
    if "report" in names:
        assert names["report"].swapped


def test_the_first_example_is_the_demo() -> None:
    demo = {
        ast.unparse(statement)
        for statement in without_annotations((ROOT / "examples" / "minilm.py").read_text())
    }
    example = without_annotations(EXAMPLES[0])
    functions = [statement for statement in example if isinstance(statement, ast.FunctionDef)]
    assert [function.name for function in functions] == ["embed"]
    imports = (ast.Import, ast.ImportFrom)
    code = [ast.unparse(statement) for statement in example if not isinstance(statement, imports)]
    own = [line for line in code if line not in demo]
    # The demo has more sentences, and takes them in batches.
    assert [line.partition(" = ")[0].strip("()") for line in own] == ["sentences", "before, after"]


def test_the_first_example_prints_what_its_comment_says() -> None:
    comment = re.search(r"print\(report\)  # (.*)", EXAMPLES[0])
    assert comment is not None
    # tests/test_minilm.py holds the demo's output against the same sentence.
    assert comment[1] == "36 of 36 Linear layers swapped; 42.5 MB -> 22.6 MB (0.53x)"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_table_shows_the_recorded_results() -> None:
    assert readme_table.main(["--check"]) == 0


def test_the_table_is_replaced_between_its_markers() -> None:
    readme = f"head\n{readme_table.BEGIN}old\n{readme_table.END}tail\n"
    assert readme_table.with_table(readme, "new\n") == (
        f"head\n{readme_table.BEGIN}\nnew\n\n{readme_table.END}tail\n"
    )
    with pytest.raises(ValueError, match="expected one line <!-- benchmark table -->"):
        readme_table.with_table("head\n", "new\n")
