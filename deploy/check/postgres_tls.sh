#!/usr/bin/env bash
# Tries the TLS of a binary that was built with `--features postgres-tls` against a real Postgres: with the right
# authority and name it serves, and every connection is encrypted; with a wrong authority, a wrong name or a server
# without TLS it ends, and says why. Needs openssl and an installed Postgres; all is on loopback and in a temporary folder.
#
#   deploy/check/postgres_tls.sh BINARY
set -euo pipefail

if (($# != 1)) || [[ ! -x $1 ]]; then
    echo "usage: deploy/check/postgres_tls.sh BINARY" >&2
    exit 2
fi
binary=$(realpath "$1")
# Distributions keep its programs out of the PATH.
for programs in /usr/lib/postgresql/*/bin; do PATH=$programs:$PATH; done
folder=$(mktemp -d /tmp/starkeep-tls-XXXXXX)
# Postgres does not run as root.
as=()
if ((EUID == 0)); then as=(setpriv "--reuid=$(id -u postgres)" "--regid=$(id -g postgres)" --clear-groups); fi
port=$((20000 + RANDOM % 20000))
server=

end() {
    if [[ -n $server ]]; then kill -INT "$server" && wait "$server" || true; fi
    rm -rf "$folder"
}
trap end EXIT

fail() {
    echo "FAILED: $*" >&2
    tail -n 20 "$folder"/*.log >&2
    exit 1
}

# An authority of this name, and a certificate of it for localhost and no other name or address.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
        -keyout "$folder/$1.key" -out "$folder/$1.pem" 2>/dev/null
}
authority right
authority wrong
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
    -keyout "$folder/server.key" -out "$folder/server.csr" 2>/dev/null
openssl x509 -req -in "$folder/server.csr" -CA "$folder/right.pem" -CAkey "$folder/right.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName=DNS:localhost") -out "$folder/server.pem" 2>/dev/null

chmod 755 "$folder"
if ((EUID == 0)); then chown -R postgres "$folder"; fi
chmod 600 "$folder/server.key"
"${as[@]}" initdb -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/initdb.log"

begin() {
    "${as[@]}" postgres -D "$folder/data" -c listen_addresses=127.0.0.1 -c "port=$port" \
        -c "unix_socket_directories=$folder" -c fsync=off -c ssl_cert_file="$folder/server.pem" \
        -c ssl_key_file="$folder/server.key" "$@" >>"$folder/postgres.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        if pg_isready -q -h "$folder" -p "$port" -U postgres; then return; fi
        sleep 0.1
    done
    fail "Postgres did not start"
}

sql() { psql -h "$folder" -p "$port" -U postgres -qAt -c "$1"; }

# Becomes a command of starkeep on an address: host, options.
become() {
    local url="postgres://postgres@$1:$port/postgres?$2"
    shift 2
    exec env -i PATH="$PATH" HOME="$folder" STARKEEP__DATABASE__URL="$url" STARKEEP__ONEDEV__URL=http://127.0.0.1:9 \
        STARKEEP__ONEDEV__TOKEN=none STARKEEP__ADMIN__TOKEN=none-of-your-business STARKEEP__SERVER__BIND=127.0.0.1:0 \
        STARKEEP__SYNC__SPOOL_DIR="$folder" "$binary" "$@"
}

starkeep() { (become "$@"); }

refused() {
    local what=$1 said=$2
    shift 2
    if starkeep "$@" migrate >"$folder/refused.log" 2>&1; then fail "$what was accepted"; fi
    grep -qiE "$said" "$folder/refused.log" || fail "$what was refused for another reason"
    echo "refused, as it should be: $what"
}

full="sslmode=verify-full&sslrootcert=$folder/right.pem"
# Clear text is not taken from anybody but the socket, which this script itself uses.
printf 'local all all trust\nhostssl all all 127.0.0.1/32 trust\n' >"$folder/data/pg_hba.conf"
begin -c ssl=on

starkeep localhost "$full" migrate >"$folder/migrate.log" 2>&1 || fail "verify-full with the right name and authority"
starkeep localhost "$full" backup "$folder/backup" >"$folder/backup.log" 2>&1 || fail "a backup"
become localhost "$full" serve --role worker >"$folder/serve.log" 2>&1 &
serve=$!
for _ in $(seq 100); do
    listening=$(sql "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE application_name = 'starkeep-listen' AND ssl")
    if [[ $listening == 1 ]]; then break; fi
    sleep 0.1
done
shown=$(sql "SELECT application_name, ssl, version, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
    WHERE application_name LIKE 'starkeep%' GROUP BY 1, 2, 3 ORDER BY 1")
kill -TERM "$serve"
wait "$serve" || fail "serve did not end well"
echo "$shown"
[[ $listening == 1 ]] || fail "nobody listens over TLS"
if grep -q '|f|' <<<"$shown"; then fail "a connection is not encrypted"; fi
echo "verify-full serves, listens and backs up over TLS"
starkeep 127.0.0.1 "sslmode=verify-ca&sslrootcert=$folder/right.pem" migrate >"$folder/migrate.log" 2>&1 ||
    fail "verify-ca takes another name"
starkeep 127.0.0.1 sslmode=require migrate >"$folder/migrate.log" 2>&1 || fail "require takes any authority"

refused "a wrong authority" "certificate verify failed" localhost "sslmode=verify-full&sslrootcert=$folder/wrong.pem"
refused "a wrong name" "does not match host name" 127.0.0.1 "$full"
refused "verify-full without an authority" "sslrootcert" localhost sslmode=verify-full
refused "clear text where the server wants TLS" "no encryption|no pg_hba.conf entry" localhost sslmode=disable

kill -INT "$server"
wait "$server" || true
printf 'local all all trust\nhost all all 127.0.0.1/32 trust\n' >"$folder/data/pg_hba.conf"
begin -c ssl=off
for mode in require verify-ca verify-full; do
    refused "$mode with a server without TLS" "does not support SSL" localhost \
        "sslmode=$mode&sslrootcert=$folder/right.pem"
done
starkeep localhost sslmode=prefer migrate >"$folder/migrate.log" 2>&1 || fail "prefer makes do without TLS"
echo "Postgres over TLS: all as it should be"
