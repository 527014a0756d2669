"""The commands of the shell: each is a module with a function of the same name.

The parameters of the function are its arguments and options. ``@command("existing")``
adds settings; a parameter such as ``runs: RunOptions`` adds a group of options.
"""
