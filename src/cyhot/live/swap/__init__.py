"""New code in the place of old code, in a process that goes on."""
