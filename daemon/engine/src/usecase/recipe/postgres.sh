# The client of the server in this container, as the user that the container was made with, through its socket. The password
# is the one that the container was made with, and is used only if the server asks for one.
set -eu
word=${POSTGRES_PASSWORD:-}
file=${POSTGRES_PASSWORD_FILE:-}
if [ -z "$word" ] && [ -n "$file" ] && [ -r "$file" ]; then
    word=$(cat "$file")
fi
if [ -n "$word" ]; then
    PGPASSWORD=$word
    export PGPASSWORD
fi
unset PGHOST PGHOSTADDR PGSERVICE PGUSER PGDATABASE PGOPTIONS PGCLIENTENCODING
PGAPPNAME=backupd
PGCONNECT_TIMEOUT=30
export PGAPPNAME PGCONNECT_TIMEOUT
exec psql --no-psqlrc --no-align --tuples-only --quiet --no-password --set=ON_ERROR_STOP=1 \
    --username="${POSTGRES_USER:-postgres}" --dbname=postgres
