"""The command line: one module a command, each `add(parser)` and a `run(arguments) -> exit code`."""
