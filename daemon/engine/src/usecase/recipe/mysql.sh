# The client of the server in this container, as root, through its socket. The password is the one that the container was
# made with; without one, the option files of root count, or that the server trusts root's socket.
set -eu
client=
for name in mariadb mysql; do
    if command -v "$name" >/dev/null 2>&1; then
        client=$name
        break
    fi
done
if [ -z "$client" ]; then
    echo 'neither `mariadb` nor `mysql` is there' >&2
    exit 127
fi
word=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
file=${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}
if [ -z "$word" ] && [ -n "$file" ]; then
    word=$(cat "$file")
fi
if [ -n "$word" ]; then
    MYSQL_PWD=$word
    export MYSQL_PWD
    set -- --user=root
fi
exec "$client" "$@" --protocol=socket --batch --raw --skip-column-names --unbuffered --no-auto-rehash --skip-reconnect
