"""What an option of another program is called here."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER_NAMES = {
    "--existing replace": "force overwrite clobber replace f",
    "--existing skip": "skip skip-existing no-clobber",
    "--existing resume": "resume continue",
    "--overwrite": "force clobber f",
    "--directory": "output o out outdir out-dir outfile output-dir dir folder dest "
    "destination target path to",
    "--template": "pattern name filename file-name file prefix basename",
    "--run": "scan scan-id scan-ids id uid runs start-uid number",
    "--run -1": "last latest",
    "--since 2000-01-01": "all all-runs",
    "--since": "from start begin after",
    "--until": "end before to",
    "--field": "detector det camera image channel data-key",
    "--api-key": "key token apikey password",
    "--workers": "threads jobs j cpus cores nproc parallel",
    "--processes": "threads jobs j cpus cores nproc parallel",
    "--compression zlib": "compress zip gzip deflate z",
    "--dtype": "bits bit-depth depth type cast",
    "--dry-run": "test simulate pretend whatif dryrun",
    "--limit": "n max count newest head",
    "--source": "server url input i",
    "--stack run": "multipage multi-page single-file one-file",
    "--dark": "background darks dark-frame bg",
    "--config": "config-file conf configuration settings c",
    "--json": "verbose v",
    "--debug": "verbose v log-level",
    "--full": "verbose v all",
    "--help": "help-all usage man h",
}
"""What to type → what other programs call it."""

WORDS = {w for words in OTHER_NAMES.values() for w in words.split() if len(w) > 3}

ADVICE = {
    "yes": "nothing is asked here",
    "y": "nothing is asked here",
    "quiet": "messages are on standard error: 2> FILE keeps them out of sight",
    "q": "messages are on standard error: 2> FILE keeps them out of sight",
    "silent": "messages are on standard error: 2> FILE keeps them out of sight",
    "no-progress": "a bar is only on a terminal: 2> FILE keeps it out of sight",
    "version": "'tiffin --version' prints it",
    "V": "'tiffin --version' prints it",
    "config": "'tiffin export' takes a configuration file, also with --dry-run",
    "source": "SOURCE is typed without an option",
    "server": "SOURCE is typed without an option",
    "url": "SOURCE is typed without an option",
    "input": "SOURCE is typed without an option",
    "i": "SOURCE is typed without an option",
}
"""What to say of an option that has no place here."""


def without_option(error: Any) -> str:
    """Return what to say of an option that a command does not have."""
    context = error.ctx
    if context.parent is None:  # options of tiffin itself
        return (
            f"{error.option_name!r} is no option of tiffin itself: options stand "
            f"behind the command, as in tiffin export SOURCE {error.option_name}"
        )
    name = error.option_name
    return _unknown_option(name, name.lstrip("-"), _options(context.command))


def without_value(error: Any) -> str:
    """Return what to say of an option whose value is missing."""
    name = error.option_name
    for parameter in error.ctx.command.params:
        if name in parameter.opts:
            value = parameter.metavar or parameter.name.upper()
            shown = f"{parameter.opts[0]} {value}"
    others = _equivalents(name.lstrip("-"), _options(error.ctx.command))
    hint = f"; or did you mean {others[0]}?" if others else ""
    return f"{name!r} needs a value, as in {shown}{hint}"


def attached_value(command: Any, arguments: Sequence[str]) -> str:
    """Return what is wrong with an option such as ``-dry-run``; else "".

    It would be read as ``-d ry-run``, which nobody means.
    """
    options = _options(command)
    for argument in arguments:
        if argument == "--":
            break
        word = argument.partition("=")[0][1:]
        if argument[:1] != "-" or len(word) < 2:
            continue
        if f"--{word}" in options:
            return f"{argument!r} begins with one dash: did you mean '-{argument}'?"
        if word in WORDS:
            return _unknown_option(argument, word, options)
    return ""


def _unknown_option(typed: str, word: str, options: Sequence[str]) -> str:
    message, suggestions = f"there is no option {typed!r}", _suggestions(word, options)
    if suggestions:
        return f"{message}: did you mean {' or '.join(suggestions)}?"
    return f"{message}: {ADVICE[word]}" if word in ADVICE else message


def _equivalents(word: str, options: Sequence[str]) -> list[str]:
    """Return what to type here for an option of other programs."""
    return [
        option
        for option, words in OTHER_NAMES.items()
        if word in words.split() and option.partition(" ")[0] in options
    ]


def _options(command: Any) -> list[str]:
    parameters = [each for each in command.params if each.opts[0].startswith("-")]
    own = [text for each in parameters for text in each.opts + each.secondary_opts]
    return [*own, "--debug", "--help"]


def _suggestions(word: str, options: Sequence[str]) -> list[str]:
    """Return the options that a word means here, or is spelt much like."""
    long = [each for each in options if each.startswith("--") and each[2:5] != "no-"]
    typed = f"--{word}"
    completed = [
        option for option in long if len(word) > 2 and option.startswith(typed)
    ]
    equivalents = _equivalents(word, long)
    similar = [] if len(word) < 3 else difflib.get_close_matches(typed, long, 2, 0.8)
    for other in difflib.get_close_matches(word, WORDS, 1, 0.8):
        similar += _equivalents(other, long)
    return equivalents[:2] or completed[:3] or similar[:2]
