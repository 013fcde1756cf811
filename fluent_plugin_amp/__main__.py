"""The command ``fluent-plugin-amp``, also as ``python -m fluent_plugin_amp``: first things first."""

import sys

from fluent_plugin_amp.run.beginning import Beginning


def main() -> None:
    """The console script."""
    beginning = Beginning(sys.argv[1:])
    from fluent_plugin_amp.commands import cli

    cli.main(beginning)


if __name__ == "__main__":
    main()
