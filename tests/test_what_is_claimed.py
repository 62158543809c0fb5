"""The table of claims (claims.toml): whatever holds a claim is a test that exists, and no row goes unseen."""

import ast
import functools
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLAIMS = tomllib.loads((TESTS / "claims.toml").read_text(encoding="utf-8"))["claim"]
HELD, OPEN = 102, 1


@functools.cache
def functions(path: str) -> set[str]:
    """The tests of a file; none where there is no such file."""
    file = TESTS.parent / path
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_none_is_lost() -> None:
    assert [sum(key in claim for claim in CLAIMS) for key in ("held_by", "open")] == [HELD, OPEN]
    told = [(claim["place"], claim["says"], claim["broken_by"]) for claim in CLAIMS]
    assert len(set(told)) == len(told) == HELD + OPEN
    assert len({claim["place"] for claim in CLAIMS}) == 11


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim['place']}: {claim['says']}")
def test_what_holds_a_claim_exists(claim: dict) -> None:
    assert set(claim) - {"held_by", "open"} == {"place", "says", "broken_by"}
    assert ("held_by" in claim) != ("open" in claim)
    for test in claim.get("held_by", []):
        path, _, name = test.partition("::")
        assert name in functions(path), test
    assert claim.get("held_by", True), "a claim that nothing holds is open, and says so"


def test_a_test_that_is_not_there_would_be_seen() -> None:
    assert "test_none_is_lost" in functions("tests/test_what_is_claimed.py")
    assert "test_no_such" not in functions("tests/test_what_is_claimed.py")
    assert functions("tests/test_no_such_file.py") == set()
