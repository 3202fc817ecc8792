
# Sources and snapshots, which only the program knows; where it knows none, what stands above.
_backupctl_known() {
    _backupctl "$@"
    local typed="${COMP_LINE:0:COMP_POINT}" known=() words=() before="" mark
    local word="${typed##*[[:space:]]}"
    read -ra words <<<"$typed"
    [[ -n $word ]] || words+=("")
    mapfile -t known < <("${COMP_WORDS[0]}" completions bash -- "${words[@]:1}" 2>/dev/null)
    ((${#known[@]})) || return 0
    # To bash a word begins behind the last of these marks.
    for mark in : @; do
        if [[ $COMP_WORDBREAKS == *"$mark"* && $word == *"$mark"* ]]; then
            before+="${word%"$mark"*}$mark"
            word="${word##*"$mark"}"
        fi
    done
    COMPREPLY=("${known[@]#"$before"}")
}
complete -F _backupctl_known -o bashdefault -o default backupctl
