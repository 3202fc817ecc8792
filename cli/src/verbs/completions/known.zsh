
# Sources, snapshots and what lies in them, which only the program knows; where it knows none, what stands above.
_backupctl() {
    local -a known folders
    known=("${(@f)$("${(Q)words[1]}" completions zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    known=("${(@)known:#}")
    (( ${#known} )) || { _backupctl_words "$@"; return }
    folders=("${(@M)known:#*/}")
    known=("${(@)known:#*/}")
    # Somebody who has chosen a folder goes on with what is in it.
    (( ${#folders} )) && compadd -S '' -- "${folders[@]}"
    (( ${#known} )) && compadd -- "${known[@]}"
    return 0
}

if [ "$funcstack[1]" = "_backupctl" ]; then
    _backupctl "$@"
else
    compdef _backupctl backupctl
fi
