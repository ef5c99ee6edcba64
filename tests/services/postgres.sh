#!/bin/sh
# PostgreSQL (https://www.postgresql.org, PostgreSQL License), as a counterpart for tests: the server at
# PAYMUX_POSTGRES_URL or on 127.0.0.1:5432 if there is one, else one of its own in the target folder, which needs
# PostgreSQL's binaries (Debian's package `postgresql`).
#
#   postgres.sh start   starts it unless one runs, and prints its address as an export for eval
#   postgres.sh stop    stops what `start` started
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
home=${CARGO_TARGET_DIR:-$root/target}/services/postgres

answers() { # host, port
    python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' "$1" "$2" 2>/dev/null
}

program() { # name
    for found in "$(command -v "$1" || true)" /usr/lib/postgresql/*/bin/"$1" /usr/pgsql-*/bin/"$1"; do
        if [ -n "$found" ] && [ -x "$found" ]; then
            echo "$found"
            return
        fi
    done
    echo "$1 isn't there: install PostgreSQL, or name a server in PAYMUX_POSTGRES_URL" >&2
    exit 1
}

# PostgreSQL won't run as root, and another user may not reach the target folder: so its files are below /tmp.
as_other() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid nobody --regid nogroup --clear-groups "$@"
    else
        "$@"
    fi
}

case ${1:-} in
start)
    if [ -n "${PAYMUX_POSTGRES_URL:-}" ]; then
        echo "export PAYMUX_POSTGRES_URL=$PAYMUX_POSTGRES_URL"
    elif [ -s "$home/env" ]; then
        cat "$home/env"
    elif answers 127.0.0.1 5432; then
        echo "export PAYMUX_POSTGRES_URL=postgres://postgres@127.0.0.1:5432/test"
    else
        initdb=$(program initdb)
        pg_ctl=$(program pg_ctl)
        mkdir -p "$home"
        data=$(mktemp -d /tmp/paymux-postgres.XXXXXX)
        if [ "$(id -u)" = 0 ]; then chown nobody "$data"; fi
        port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        cd "$data"
        as_other "$initdb" --auth trust --username postgres --encoding UTF8 --locale C --pgdata "$data/db" >"$home/log" 2>&1
        options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$data -c max_connections=200"
        as_other "$pg_ctl" --pgdata "$data/db" --options "$options" --log "$data/log" --wait start >>"$home/log" 2>&1
        echo "CREATE DATABASE test" | as_other "$(program psql)" --quiet --host 127.0.0.1 --port "$port" --username postgres postgres >&2
        echo "$data" >"$home/data"
        echo "export PAYMUX_POSTGRES_URL=postgres://postgres@127.0.0.1:$port/test" >"$home/env"
        cat "$home/env"
    fi
    ;;
stop)
    if [ -s "$home/data" ]; then
        data=$(cat "$home/data")
        (cd "$data" && as_other "$(program pg_ctl)" --pgdata "$data/db" --mode immediate stop >/dev/null) || true
        rm -rf "$data"
    fi
    rm -f "$home/data" "$home/env"
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
