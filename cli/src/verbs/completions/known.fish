
# Sources, snapshots and what lies in them, which only the program knows; where it knows none, what stands above.
function __fish_backupctl_knows
    set -l typed (commandline -opc)
    set -g __fish_backupctl_known (command $typed[1] completions fish -- $typed[2..] (commandline -ct) 2>/dev/null)
    test (count $__fish_backupctl_known) -gt 0
end
complete -c backupctl -f -k -n __fish_backupctl_knows -a '$__fish_backupctl_known'
