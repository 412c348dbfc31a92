"""How bash, zsh and fish ask what Tab completes, and take the answer.

Their scripts differ from click's where those give a user less: a value with a comma, a value behind
`--option=`, and no space behind `num_classes=` or `timm:`, which go on.
"""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        %(complete_var)s=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        else
            COMPREPLY+=("$value")
            [[ $value == *[=:] ]] && compopt -o nospace 2>/dev/null
        fi
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a open closed response
    local type key
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s)}")
    compset -P '--*='
    for type key in ${response}; do
        if [[ $type == file ]]; then
            _path_files -f
        elif [[ $key == *[=:] ]]; then
            open+=("$key")
        else
            closed+=("$key")
        fi
    done
    (( $#open )) && compadd -V unsorted -S '' -a open
    (( $#closed )) && compadd -V unsorted -a closed
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -l word (commandline -t)
    set -l option (string match -r -- '^--[^=]*=' $word; or echo '')
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \\
            COMP_CWORD=$word %(prog_name)s)
        set -l answer (string split -m 1 , -- $line)
        if test $answer[1] = file
            for path in (__fish_complete_path $answer[2])
                echo $option$path
            end
        else
            echo $option$answer[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class Bash(BashComplete):
    """Bash, which splits words at `:` and `=` and replaces only what follows them."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Join what Bash has split: `timm`, `:`, `res` is one word here."""
        words = os.environ["COMP_WORDS"].split()
        at = int(os.environ["COMP_CWORD"])
        words = words[: at + 1] + [""] * (at + 1 - len(words))
        joined: list[str] = []
        for place, word in enumerate(words):
            behind = place > 0 and (word[:1] in (":", "=") or words[place - 1] in (":", "="))
            if joined and behind and place > 1:
                joined[-1] += word
            else:
                joined.append(word)
        return joined[1:-1], joined[-1]

    def complete(self) -> str:
        """As Bash takes them: without what it keeps of the word."""
        args, incomplete = self.get_completion_args()
        begin = max(incomplete.rfind(":"), incomplete.rfind("=")) + 1
        lines = []
        for item in self.get_completions(args, incomplete):
            value = incomplete if item.type == "file" else str(item.value)
            lines.append(f"{item.type},{value[begin:]}")
        return "\n".join(lines)


class Zsh(ZshComplete):
    """Zsh, whose script reads a kind and a value in turn."""

    source_template = _ZSH

    def format_completion(self, item: CompletionItem) -> str:
        """The kind and the value, a line each."""
        return f"{item.type}\n{item.value}"


class Fish(FishComplete):
    """Fish, whose script reads a kind and a value from each line."""

    source_template = _FISH

    def format_completion(self, item: CompletionItem) -> str:
        """The kind and the value, which may have commas."""
        return f"{item.type},{item.value}"


def answer(group: click.Group, variable: str) -> None:
    """Answer the shell, which asks by an environment variable, and leave."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)
    group.main(prog_name="archscope", complete_var=variable)
