"""The command line: options, wiring, exit codes, terminal. One small module a command."""
