# One command for the server in this container. Its password is taken from the environment, and used only if it wants one.
set -eu
client=
for name in redis-cli valkey-cli; do
    if command -v "$name" >/dev/null 2>&1; then
        client=$name
        break
    fi
done
if [ -z "$client" ]; then
    echo 'neither `redis-cli` nor `valkey-cli` is there' >&2
    exit 127
fi
case $("$client" PING 2>/dev/null || true) in
*NOAUTH*)
    word=${REDIS_PASSWORD:-${VALKEY_PASSWORD:-}}
    file=${REDIS_PASSWORD_FILE:-${VALKEY_PASSWORD_FILE:-}}
    if [ -z "$word" ] && [ -n "$file" ]; then
        word=$(cat "$file")
    fi
    if [ -n "$word" ]; then
        REDISCLI_AUTH=$word
        export REDISCLI_AUTH
    fi
    ;;
esac
exec "$client" "$@"
