"""One file a command: parse, call a workflow, render."""
