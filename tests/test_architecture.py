"""The rules of the package, read from its source: what is pure stays pure, and imports point one way."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import fluent_plugin_amp

PACKAGE = "fluent_plugin_amp"
ROOT = Path(fluent_plugin_amp.__file__).parent
RELIABILITY = Path(__file__).parent.parent / "docs/reliability.md"

BASE = frozenset({"errors", "model", "facts", "backoff", "hashes", "histogram", "numbers", "proxy", "text"})
"""What every part may know, and what knows nothing but itself."""

GROUND = BASE | {"containment", "descriptors", "files", "hosts", "tls", "turns", "__main__"}
"""What stands at the top of the package: everything stands on it."""

PARTS = ("source", "pipeline", "sink", "cisco")
"""What never imports each other: only the composition root joins them."""

FLOORS = (
    ("amp_streams", "amp_respond"),
    ("admin",),
    ("commands",),
    ("run",),
    ("completeness", "history"),
    ("observe", "state", "organisation"),
    ("config",),
    PARTS,
)
"""The rooms of the package, from the programs down: a room imports from floors below its own, never from above."""

PURE_BY_DESIGN = frozenset(
    {
        "errors",
        "model",
        "facts",
        "backoff",
        "hashes",
        "source.content",
        "numbers",
        "text",
        "source.ledger",
        "source.flow",
        "source.looks",
        "source.transitions",
        "pipeline.decode",
        "pipeline.flatten",
        "pipeline.names",
        "pipeline.obfuscate",
        "pipeline.links",
        "pipeline.tags",
        "pipeline.transform",
        "pipeline.combine.detections",
        "pipeline.combine.incidents",
        "pipeline.dead_letters",
        "pipeline.batcher",
        "pipeline.delivered",
        "sink.forward.protocol",
        "sink.forward.window",
        "sink.forward.balancer",
        "sink.forward.bisect",
        "sink.forward.dispatch",
        "cisco.regions",
        "cisco.errors",
        "organisation.fleet",
        "organisation.programs",
        "organisation.hunt_queue",
        "pipeline.asking",
        "pipeline.shape.ecs",
        "pipeline.shape.ocsf",
        "pipeline.shape.ocsf_class",
        "state.errors",
        "completeness.journal",
        "completeness.pace",
        "completeness.presence",
        "completeness.record",
        "completeness.reading",
        "completeness.schedule",
        "completeness.verify",
        "cisco.budget",
        "cisco.mended",
        "cisco.pieces",
        "organisation.windows",
        "organisation.entries",
        "amp_respond.brakes",
        "amp_respond.entries",
        "amp_respond.comments",
    }
)
IMPURE = frozenset(
    {
        "asyncio",
        "concurrent",
        "httpx",
        "logging",
        "multiprocessing",
        "os",
        "pika",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
    }
)
"""Modules that do I/O, read a clock, draw lots or keep state of the process."""

EXCUSED = {
    "config.forward": {"socket"},  # the host's name, as the default of self_hostname
    "state.translate": {"sqlite3"},  # the names of the exceptions that it translates
}
"""Pure modules, and what they may import all the same."""

ALMOST_PURE = {
    "cisco.event_types",  # pure but for reading its own catalogue
    "observe.troubles",  # makes no I/O, and takes the clock as an argument
}
"""Modules that pure ones may import."""

FAULT_DOMAINS = {
    "pipeline.conductor": "one event",
    "pipeline.dead_letter_sender": "one event",
    "pipeline.recorder": "one event",
    "commands.explain": "one event",
    "pipeline.combine.combiner": "an event's part in combined records",
    "run.combining": "an event's part in combined records",
    "state.writer": "a background task",
    "source.transport": "one connection",
    "sink.forward.connection": "one connection",
    "sink.forward.client": "one connection",
    "sink.forward.link": "one connection",
    "observe.http": "one connection",
    "source.amqp": "one stream",
    "source.consumer": "one stream",
    "source.stream": "one stream",
    "containment": "a background task",
    "run.reloader": "a reload",
    "commands.console": "the process",
}
"""Where everything is caught that nobody foresaw, and what that may cost: rows of docs/reliability.md."""

CLOCKS = frozenset({"now", "utcnow", "today"})


def module_name(path: Path) -> str:
    """``source.amqp`` for ``fluent_plugin_amp/source/amqp.py``; empty for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    """Its syntax tree."""
    return ast.parse(PATHS[module].read_text())


def is_pure(module: str) -> bool:
    """Its docstring says so; it is not parsed for that, since every worker asks while it collects."""
    docstring = re.match(r'(?:#.*\n)*"""((?s:.*?))"""', PATHS[module].read_text())
    return docstring is not None and re.search(r"\bPure[.:]", docstring[1]) is not None


def nodes(parent: ast.AST, *, at_import_only: bool) -> Iterator[ast.AST]:
    """All nodes below ``parent``; only those that run when the module is imported, if so wished."""
    for node in ast.iter_child_nodes(parent):
        if at_import_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            continue
        yield node
        yield from nodes(node, at_import_only=at_import_only)


@cache
def imports(module: str, *, at_import_only: bool = False) -> frozenset[str]:
    """The absolute names of everything that ``module`` imports; ``from a import b`` gives both a and a.b."""
    found: set[str] = set()
    for node in nodes(tree_of(module), at_import_only=at_import_only):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def own_imports(module: str, *, at_import_only: bool = False) -> set[str]:
    """Those of them that are modules of the package, without its name."""
    names = imports(module, at_import_only=at_import_only)
    own = {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}
    # `from package.a import b` needs package.a's own code only when b is not a module.
    own &= set(PATHS)
    return {name for name in own if not any(other.startswith(f"{name}.") for other in own)}


def foreign_imports(module: str) -> set[str]:
    """What it imports from elsewhere: ``concurrent.futures`` gives concurrent and concurrent.futures."""
    names = {name for name in imports(module) if name.split(".")[0] != PACKAGE}
    return {".".join(name.split(".")[:depth]) for name in names for depth in (1, 2)}


pure_modules = sorted(filter(is_pure, PATHS))


def test_what_the_design_calls_pure_says_so() -> None:
    """Each module of the pure core declares itself as pure, and so falls under the rules below."""
    assert set(pure_modules) >= PURE_BY_DESIGN


@pytest.mark.parametrize("module", pure_modules)
def test_pure_modules_do_nothing_but_compute(module: str) -> None:
    """No I/O, no event loop, no clock, no chance: whatever they need is an argument."""
    assert foreign_imports(module) & IMPURE <= EXCUSED.get(module, set())
    attributes = {node.attr for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute)}
    assert attributes & CLOCKS == set()


@pytest.mark.parametrize("module", pure_modules)
def test_pure_modules_stand_on_pure_modules(module: str) -> None:
    """What a pure module imports of this package is pure as well."""
    assert own_imports(module) - set(pure_modules) - {""} <= ALMOST_PURE


@pytest.mark.parametrize("module", sorted(BASE))
def test_the_base_stands_on_nothing_else(module: str) -> None:
    """Errors, values and facts know no part."""
    assert own_imports(module) <= BASE


def room_of(module: str) -> str:
    """The folder that it is in; empty for what stands at the top."""
    return module.partition(".")[0] if "." in module else ""


def test_every_room_has_a_floor() -> None:
    """Nothing stands outside the plan, and the plan has no empty rooms."""
    planned = {room for floor in FLOORS for room in floor} | {"testing"}
    assert {room_of(module) for module in PATHS} - {""} == planned
    assert {module for module in PATHS if not room_of(module)} - planned == GROUND | {""}


def test_imports_point_down() -> None:
    """Programs stand on parts, parts on the ground; parts of one floor do not know each other."""
    height = {room: -number for number, floor in enumerate(FLOORS) for room in floor}
    upward = {
        (module, other)
        for module in PATHS
        for other in own_imports(module)
        if {room_of(module), room_of(other)} <= set(height)
        and room_of(module) != room_of(other)
        and height[room_of(module)] <= height[room_of(other)]
    }
    # Errors page, man pages and shell completion are about both programs.
    assert upward == {
        ("commands.errors_reference", "admin.errors"),
        ("commands.errors_reference", "amp_respond.errors"),
        ("commands.manual", "amp_respond.cli"),
        ("commands.manual", "amp_streams.cli"),
    }
    assert {module for module in GROUND if any(map(room_of, own_imports(module)))} == {"__main__"}


def test_only_one_place_knows_pika() -> None:
    """AMQP is spoken in one module, over transports made in another, and a third names what pika raises.

    The helpers for tests publish and administer.  Deliveries are read without pika, in a pure module.
    """
    users = {module for module in PATHS if "pika" in foreign_imports(module)}
    ours = {module for module in users if not module.startswith("testing.")}
    assert ours == {"source.amqp", "source.reasons", "source.transport"}


def test_only_the_state_knows_sql() -> None:
    """The state file is nobody else's business."""
    users = {module for module in PATHS if "sqlite3" in foreign_imports(module)}
    assert {module for module in users if not module.startswith("state.")} == set()


def test_nothing_is_built_on_the_test_helpers() -> None:
    """Importing the plugin imports none of them; the demo is the one command that uses them."""
    users = {
        module
        for module in PATHS
        if not module.startswith("testing")
        and any(other.startswith("testing") for other in own_imports(module, at_import_only=True))
    }
    assert users == set()


def test_imports_point_one_way() -> None:
    """No module imports, over however many steps, a module that imports it."""
    remaining = {module: own_imports(module, at_import_only=True) - {module} for module in PATHS}
    while leaves := {module for module, needs in remaining.items() if not needs & set(remaining)}:
        for module in leaves:
            del remaining[module]
    assert remaining == {}, "these import each other in circles, or stand on such a circle"


def broad_handlers(module: str) -> list[ast.ExceptHandler]:
    """Those that catch whatever comes."""
    return [
        node
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]


def ends_with_raise(handler: ast.ExceptHandler) -> bool:
    """It only tidies up, and lets everything pass."""
    return isinstance(handler.body[-1], ast.Raise)


def test_everything_is_caught_in_fault_domains_only() -> None:
    """Elsewhere errors have names; each domain is a row of the table in docs/reliability.md."""
    catching = {
        module
        for module in PATHS
        if not module.startswith("testing.")
        and not all(ends_with_raise(handler) for handler in broad_handlers(module))
    }
    assert catching - {"state.thread"} == set(FAULT_DOMAINS)  # that one raises where its future is awaited
    table = RELIABILITY.read_text().partition("## Fault domains")[2].partition("\n## ")[0]
    for domain in set(FAULT_DOMAINS.values()):
        assert f"| {domain}" in table


@pytest.mark.parametrize("module", sorted(FAULT_DOMAINS))
def test_what_is_caught_is_told(module: str) -> None:
    """Nothing is swallowed: the exception is handed on to somebody who tells, or acts on it."""
    for handler in broad_handlers(module):
        names = {node.id for statement in handler.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
        assert ends_with_raise(handler) or handler.name in names, f"{module}:{handler.lineno}"
