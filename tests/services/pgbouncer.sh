#!/bin/sh
# PgBouncer (https://www.pgbouncer.org, ISC) in transaction mode before PostgreSQL, as a counterpart for tests. It is
# taken from the PATH, or from Debian's package, which is unpacked into the target folder and not installed.
#
#   pgbouncer.sh start   starts it unless it runs, and prints its address as an export for eval
#   pgbouncer.sh stop    stops what `start` started
#
# PostgreSQL is the one of postgres.sh, which is started if need be.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
home=${CARGO_TARGET_DIR:-$root/target}/services/pgbouncer

program() {
    for found in "$(command -v pgbouncer || true)" /usr/sbin/pgbouncer "$home/package/usr/sbin/pgbouncer"; do
        if [ -n "$found" ] && [ -x "$found" ]; then
            echo "$found"
            return
        fi
    done
    if ! command -v apt-get >/dev/null; then
        echo "pgbouncer isn't there: install it" >&2
        exit 1
    fi
    mkdir -p "$home/package"
    # c-ares has another name from Debian 13 on.
    (cd "$home/package" && apt-get download pgbouncer libevent-2.1-7 >&2 \
        && { apt-get download libc-ares2 >&2 || apt-get download libcares2 >&2; } \
        && for package in *.deb; do dpkg-deb --extract "$package" .; done)
    echo "$home/package/usr/sbin/pgbouncer"
}

running() {
    [ -s "$home/pid" ] && kill -0 "$(cat "$home/pid")" 2>/dev/null && [ -s "$home/env" ]
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

case ${1:-} in
start)
    if ! running; then
        mkdir -p "$home"
        bin=$(program)
        url=$("$(dirname "$0")/postgres.sh" start)
        url=${url#export PAYMUX_POSTGRES_URL=}
        port=$(free_port)
        # postgres://user:password@host:port/database
        rest=${url#*://}
        login=${rest%%@*}
        place=${rest#*@}
        address=${place%%/*}
        user=${login%%:*}
        case $login in *:*) password=${login#*:} ;; *) password= ;; esac
        case $address in *:*) server_port=${address#*:} ;; *) server_port=5432 ;; esac
        printf '"%s" "%s"\n' "$user" "$password" >"$home/users.txt"
        chmod 600 "$home/users.txt"
        # Few connections for many clients, so that a client meets another one each time.
        cat >"$home/pgbouncer.ini" <<INI
[databases]
* = host=${address%%:*} port=$server_port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $home/users.txt
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
server_reset_query =
INI
        # It won't run as root, and another user may not reach the target folder.
        etc=$(mktemp -d /tmp/paymux-pgbouncer.XXXXXX)
        mv "$home/pgbouncer.ini" "$home/users.txt" "$etc"
        sed -i "s|^auth_file = .*|auth_file = $etc/users.txt|" "$etc/pgbouncer.ini"
        case $bin in "$home"/*)
            cp -r "$home/package" "$etc"
            bin=$etc/package/usr/sbin/pgbouncer
            ;;
        esac
        run=
        if [ "$(id -u)" = 0 ]; then
            chown -R nobody "$etc"
            run="setpriv --reuid nobody --regid nogroup --clear-groups"
        fi
        LD_LIBRARY_PATH=$etc/package/usr/lib/$(uname -m)-linux-gnu nohup $run "$bin" "$etc/pgbouncer.ini" \
            >"$home/log" 2>&1 </dev/null &
        echo $! >"$home/pid"
        echo "$etc" >"$home/etc"
        tries=0
        until python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do
            tries=$((tries + 1))
            if [ "$tries" -gt 100 ] || ! kill -0 "$(cat "$home/pid")" 2>/dev/null; then
                echo "pgbouncer doesn't answer; see $home/log" >&2
                exit 1
            fi
            sleep 0.1
        done
        echo "export PAYMUX_PGBOUNCER_URL=postgres://$login@127.0.0.1:$port/${place#*/}" >"$home/env"
    fi
    cat "$home/env"
    ;;
stop)
    if running; then kill "$(cat "$home/pid")"; fi
    if [ -s "$home/etc" ]; then rm -rf "$(cat "$home/etc")"; fi
    rm -f "$home/pid" "$home/env" "$home/etc"
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
