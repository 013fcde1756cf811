"""`make conformance`: what real Fluentd and Fluent Bit do, and that the plugin loses nothing with them.

Prints two tables in Markdown, those of docs/delivery.md.  Exit code: 0; 1 when something was lost that must not be,
or the stream did not go on; 2 when Fluentd or Fluent Bit is missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from itertools import count
from pathlib import Path

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.receivers import available_kinds
from tests.conformance import probes
from tests.conformance.scenarios import SCENARIOS, Result, Scenario, Trial
from tests.conformance.servers import KINDS, Edits, Kind, make_server

NAMES = {"fluentd": "Fluentd", "fluent-bit": "Fluent Bit"}


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("-k", metavar="TEXT", default="", help="only scenarios with this in their names, no probes")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this server")
    given = parser.parse_args()
    versions = available_kinds()
    missing = [kind for kind in KINDS if kind not in versions]
    if missing:
        print(f"not run: {' and '.join(missing)} must be on PATH", file=sys.stderr)
        return 2
    kinds = given.kind or list(KINDS)
    heads = {kind: f"{NAMES[kind]} {versions[kind]}" for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        answers = {} if given.k else run_probes(folder, kinds)
        results = run_scenarios(folder, kinds, given.k)
    if answers:
        print_probes(answers, heads)
    print_scenarios(results, heads)
    return 0 if all(isinstance(result, Result) and result.ok for result in results.values()) else 1


def run_probes(folder: Path, kinds: list[Kind]) -> dict[Kind, dict[str, probes.Seen]]:
    """Single messages to each server."""
    seen = {}
    for kind in kinds:
        progress(f"{kind}: {len(probes.PROBES)} messages")
        edits = Edits(input=probes.INPUT[kind], buffer=probes.BUFFER, match="edr.**")
        server = make_server(kind, folder / f"probes-{kind}", edits)
        server.start()
        try:
            seen[kind] = probes.run(server)
        finally:
            server.kill()
    return seen


def run_scenarios(folder: Path, kinds: list[Kind], only: str) -> dict[tuple[str, Kind], Result | str]:
    """The plugin through each trouble; an error's text in place of a result."""
    certificates = make_certificates(folder / "certificates")
    results: dict[tuple[str, Kind], Result | str] = {}
    numbers = count(1)
    with PrivateRabbitMQ(folder=folder / "rabbitmq") as broker:
        for kind in kinds:
            for scenario in SCENARIOS[kind]:
                if only not in scenario.__name__:
                    continue
                number = next(numbers)
                stream = broker.create_stream(f"event_stream_{number}")
                trial = Trial(kind, folder / str(number), broker, stream, certificates)
                result = run_scenario(scenario, trial)
                progress(f"{kind}: {scenario.__name__}: {result}")
                results[title(scenario), kind] = result
    return results


def run_scenario(scenario: Scenario, trial: Trial) -> Result | str:
    """One scenario, its result or what came in between."""
    try:
        return scenario(trial)
    except Exception as exc:  # the other rows are worth their time
        traceback.print_exc()
        print("\n".join(plugin.log[-3000:] for plugin in trial.plugins), file=sys.stderr)
        return f"**failed**: {type(exc).__name__}: {exc}".splitlines()[0]
    finally:
        trial.close()


def print_probes(answers: dict[Kind, dict[str, probes.Seen]], heads: dict[Kind, str]) -> None:
    """The first table."""
    print(f"| message | {' | '.join(heads[kind] for kind in answers)} |")
    print(f"|---|{'---|' * len(answers)}")
    for probe in probes.PROBES:
        print(f"| {probe.name} | {' | '.join(str(seen[probe.name]) for seen in answers.values())} |")
    print()


def print_scenarios(results: dict[tuple[str, Kind], Result | str], heads: dict[Kind, str]) -> None:
    """The second table."""
    print(f"| trouble | {' | '.join(heads.values())} |")
    print(f"|---|{'---|' * len(heads)}")
    for row in dict.fromkeys(row for row, _ in results):
        print(f"| {row} | {' | '.join(str(results.get((row, kind), '–')) for kind in heads)} |")


def title(scenario: Scenario) -> str:
    """A scenario's docstring is the head of its row."""
    return " ".join((scenario.__doc__ or "").split())


def progress(text: str) -> None:
    """Beside the tables, which go to standard output."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
