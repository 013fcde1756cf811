"""``python -m fluent_plugin_amp`` is the command ``fluent-plugin-amp``."""

from fluent_plugin_amp.cli import main

main()
