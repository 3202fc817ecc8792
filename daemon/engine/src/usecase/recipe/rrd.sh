# Has an rrdcached in this container write what it holds back for the files below the folders that are named. Says `none` if
# there is none, else `flushed ADDRESS` once all of it is in the files.
set -eu
found=
for words in /proc/[0-9]*/cmdline; do
    name=$(tr '\000' '\n' 2>/dev/null <"$words" | head -n 1) || continue
    case $name in
    rrdcached | */rrdcached)
        found=$words
        break
        ;;
    esac
done
if [ -z "$found" ]; then
    echo none
    exit 0
fi
address=
listens() {
    while [ $# -gt 0 ]; do
        case $1 in
        -l)
            shift
            address=${address:-${1:-}}
            ;;
        -l*) address=${address:-${1#-l}} ;;
        -L*) address=${address:-localhost} ;;
        esac
        [ $# -eq 0 ] || shift
    done
}
set -f
IFS='
'
listens $(tr '\000' '\n' <"$found")
unset IFS
set +f
address=${address:-unix:/tmp/rrdcached.sock}
if ! command -v rrdtool >/dev/null 2>&1; then
    echo 'rrdcached runs here, and `rrdtool`, which could have it write, is missing' >&2
    exit 127
fi
find "$@" -xdev -type f -name '*.rrd' -exec rrdtool flushcached --daemon "$address" {} + >&2
echo "flushed $address"
