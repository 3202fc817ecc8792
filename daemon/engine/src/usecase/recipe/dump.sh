# Runs a program whose standard output goes out, says at the end of it that this is the end, and ends the program when
# our own input ends: that is how it hears that nobody listens any more. First a mark; names of variables, whose values
# are the first lines of our input; `--`; the program.
backupd_mark=$1
shift
while [ "$1" != -- ]; do
    IFS= read -r backupd_value || exit 125
    export "$1=$backupd_value"
    shift
done
shift
unset backupd_value
exec 3<&0 </dev/null
"$@" 3<&- &
backupd_program=$!
trap 'kill "$backupd_program"; wait "$backupd_program"; exit 143' TERM
{
    while read -r _; do :; done <&3
    kill "$$"
} >/dev/null 2>&1 &
backupd_watcher=$!
exec 3<&-
wait "$backupd_program"
backupd_status=$?
trap - TERM
printf '\n%s %s\n' "$backupd_mark" "$backupd_status"
# A shell that has only just begun may lose any other signal.
{
    kill -KILL "$backupd_watcher"
    wait "$backupd_watcher"
} 2>/dev/null
exit "$backupd_status"
