
# Sources, snapshots and what lies in them, which only the program knows; where it knows none, what stands above.
_backupctl_known() {
    _backupctl "$@"
    local typed="${COMP_LINE:0:COMP_POINT}" known=() words=() before=""
    local word="${typed##*[[:space:]]}"
    read -ra words <<<"$typed"
    [[ -n $word ]] || words+=("")
    mapfile -t known < <("${COMP_WORDS[0]}" completions bash -- "${words[@]:1}" 2>/dev/null)
    ((${#known[@]})) || return 0
    # To bash a word begins behind a colon, and with an `@`.
    if [[ $COMP_WORDBREAKS == *:* && $word == *:* ]]; then
        before="${word%:*}:"
    fi
    if [[ $COMP_WORDBREAKS == *@* && $word == *@* ]]; then
        before="${word%@*}"
    fi
    COMPREPLY=("${known[@]#"$before"}")
    # Somebody who has chosen a folder goes on with what is in it.
    [[ ${known[0]} != */ ]] || compopt -o nospace 2>/dev/null || true
}
complete -F _backupctl_known -o bashdefault -o default backupctl
