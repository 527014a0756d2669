"""The commands of the shell: each is a module with a function of the same name."""
